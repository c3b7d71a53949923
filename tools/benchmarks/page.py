"""The page: benchmarks.md, made of the record and of nothing else."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from ddmlp.files import write_whole
from tools.benchmarks.benchmark import Benchmark, Target
from tools.benchmarks.environment import in_words
from tools.benchmarks.record import Entry, Record

NAME = "benchmarks.md"
HEAD = """# Benchmarks

By `make bench` (the peers come with the extra `bench`; without them, `python tools/bench.py data`). Baselines take
turns, so that a machine whose speed drifts is fair to all. A figure is the median of its repeats, with the lowest and
the highest; a ratio is the median of the repeats' ratios. Speeds belong to the machine: compare the ratios. Every
repeat is in [benchmarks.json](benchmarks.json).
"""


def write(folder: Path, suite: Sequence[Benchmark], record: Record) -> None:
    """Write the page of those benchmarks that the record has, and their pictures, into `folder`."""
    entries = [(each, record.benchmarks[each.name]) for each in suite if each.name in record.benchmarks]
    parts = [HEAD]
    if entries:
        common = entries[0][1].environment
        parts += [f"Measured on: {in_words(common)}\n", verdict(entries)]
        for benchmark, entry in entries:
            benchmark.draw(entry, folder)
            parts.append(f"## {benchmark.title}\n")
            if entry.environment != common:
                parts.append(f"Measured on: {in_words(entry.environment)}\n")
            parts += section(benchmark, entry)
    write_whole(folder / NAME, "\n".join(parts))


def verdict(entries: Iterable[tuple[Benchmark, Entry]]) -> str:
    """How many targets are reached, and which are not."""
    targets = [(benchmark.title, target) for benchmark, entry in entries for target in benchmark.targets(entry)]
    missed = [f"- {title}: {target.what}: {target.verdict}" for title, target in targets if not target.met]
    reached = f"{len(targets) - len(missed)} of {len(targets)} targets are reached"
    return f"{reached}; not these:\n\n" + "\n".join(missed) + "\n" if missed else f"{reached}.\n"


def section(benchmark: Benchmark, entry: Entry) -> list[str]:
    """What the page says of one benchmark."""
    parts = [benchmark.text.strip() + "\n", comparison(benchmark, entry) + "\n"]
    if notes := benchmark.notes(entry):
        parts.append(notes.strip() + "\n")
    if targets := benchmark.targets(entry):
        parts.append(table(["to reach", "asked", "found", ""], map(_row, targets)) + "\n")
    repeats = "once" if entry.repeats == 1 else f"{entry.repeats} times"
    parts.append(f"Each was measured {repeats}, by `python tools/bench.py data --only {benchmark.name}`.\n")
    return parts


def comparison(benchmark: Benchmark, entry: Entry) -> str:
    """The table of all figures: a row for each baseline, a column for each quantity, and the columns of ratios."""
    rows = [(case, name, found) for case, baselines in entry.figures.items() for name, found in baselines.items()]
    quantities = list(dict.fromkeys(quantity for *_, found in rows for quantity in found or ()))
    of, faster = benchmark.of, benchmark.faster
    cells, before = [], None
    for case, name, found in rows:
        figures = ["not installed" if found is None else spread(found.get(each)) for each in quantities]
        ratios = [_ratio(entry, case, *pair, quantities[0]) for pair in [(name, of), (faster, name)] if all(pair)]
        more = [benchmark.column[1](entry, case, name)] if benchmark.column else []
        cells.append([case if case != before else "", name.replace("ddmlp", "**ddmlp**"), *figures, *ratios, *more])
        before = case
    heads = ["", "", *quantities, *[f"of {of}"] * bool(of), *[f"{faster} is faster"] * bool(faster)]
    heads += [benchmark.column[0]] if benchmark.column else []
    first = 0 if any(case for case, *_ in rows) else 1  # a benchmark of one case has no column for it
    return table(heads[first:], (row[first:] for row in cells))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def spread(figures: Sequence[float] | None) -> str:
    """Median, lowest and highest of the repeats."""
    if figures is None:
        return ""
    median, low, high = (number(each(figures)) for each in (statistics.median, min, max))
    return median if low == high else f"{median} ({low} to {high})"


def number(figure: float) -> str:
    """A figure with three digits, or with all before the point if there are more."""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"


def _ratio(entry: Entry, case: str, name: str, other: str, quantity: str) -> str:
    found = entry.ratio(case, name, other, quantity)
    return f"{statistics.median(found):.2f}" if found else ""


def _row(target: Target) -> list[str]:
    found = f"{spread(target.figures)} {target.unit}".strip() if target.figures else "not measured"
    return [target.what, target.asked, found, target.verdict]
