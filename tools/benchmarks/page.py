"""The page: benchmarks.md, made of benchmarks.json and of nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ddmlp.files import write_whole
from tools.benchmarks.chapter import Chapter
from tools.benchmarks.conditions import shown
from tools.benchmarks.markdown import table
from tools.benchmarks.record import Entry

NAME = "benchmarks.md"
HEAD = """# Benchmarks

By `make bench` (the peers come with the extra `bench`; without them, `python tools/bench.py data`). Contestants take
turns, so that a machine whose speed drifts is fair to all. A figure is the median of its repeats, with the lowest and
the highest; a ratio is the median of the repeats' ratios. Speeds belong to the machine: compare the ratios. Every
repeat is in [benchmarks.json](benchmarks.json).
"""


def write(folder: Path, chapters: Sequence[Chapter], entries: Mapping[str, Entry]) -> None:
    """Write the page of those chapters that there are entries of, and their pictures, into `folder`."""
    there = [chapter for chapter in chapters if chapter.name in entries]
    for chapter in there:
        chapter.draw(entries[chapter.name].found, folder)
    write_whole(folder / NAME, page(there, entries))


def page(chapters: Sequence[Chapter], entries: Mapping[str, Entry]) -> str:
    """The page of these chapters."""
    if not chapters:
        return HEAD
    common = entries[chapters[0].name].conditions
    parts = [HEAD, f"Measured on: {shown(common)}\n", verdict(chapters, entries)]
    for chapter in chapters:
        entry = entries[chapter.name]
        parts.append(f"## {chapter.title}\n")
        if entry.conditions != common:
            parts.append(f"Measured on: {shown(entry.conditions)}\n")
        parts.append(chapter.show(entry.found).strip() + "\n")
        if bars := chapter.bars(entry.found):
            parts.append(table(["to reach", "asked", "found", ""], [bar.row for bar in bars]) + "\n")
        repeats = "once" if entry.repeats == 1 else f"{entry.repeats} times"
        parts.append(f"Each was measured {repeats}, by `python tools/bench.py data --only {chapter.name}`.\n")
    return "\n".join(parts)


def verdict(chapters: Sequence[Chapter], entries: Mapping[str, Entry]) -> str:
    """How many bars are reached, and which are not."""
    bars = [(chapter, bar) for chapter in chapters for bar in chapter.bars(entries[chapter.name].found)]
    others = [f"- {chapter.title}: {bar.what}: {bar.verdict}" for chapter, bar in bars if not bar.reached]
    reached = f"{len(bars) - len(others)} of {len(bars)} bars are reached"
    return f"{reached}; not these:\n\n" + "\n".join(others) + "\n" if others else f"{reached}.\n"
