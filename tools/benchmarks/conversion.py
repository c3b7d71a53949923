"""The chapter on conversion: tools/idx2arrow.py beside decompressing and hashing its input alone."""

import re
import shutil
from pathlib import Path

from ddmlp.data.convert import find_pairs
from tools.benchmarks.chapter import Bar, Chapter, Found, Setting, interleaved, median_ratio
from tools.benchmarks.markdown import spread, table
from tools.benchmarks.processes import ROOT, run

OURS, BOUND = "tools/idx2arrow.py", "decompress and hash"
LEAST = 0.5


def convert(source: Path, out: Path) -> float:
    """The seconds of a conversion by the command, as far as it counts them: from its arguments to the datasets."""
    said = run(ROOT / "tools" / "idx2arrow.py", source, out)
    shutil.rmtree(out)
    rows, speed = re.findall(r"([\d,]+) rows", said)
    return int(rows.replace(",", "")) / int(speed.replace(",", ""))


def measure(setting: Setting) -> Found:
    """Seconds of each, in processes of their own; None where there are no IDX files."""
    source = setting.mnist
    if source is None:
        return {"seconds": {OURS: None, BOUND: None}}
    files = [path for pair in find_pairs(source) for path in pair]
    contestants = {
        OURS: lambda: convert(source, setting.scratch / "converted"),
        BOUND: lambda: float(run("-m", "tools.benchmarks.decompression", *files)),
    }
    return {"seconds": interleaved(contestants, setting.repeats)}


def bars(found: Found) -> list[Bar]:
    seconds = found["seconds"]
    return [Bar(f"speed of {OURS} to that of {BOUND}", median_ratio(seconds[BOUND], seconds[OURS]), LEAST)]


def show(found: Found) -> str:
    seconds = found["seconds"]
    if seconds[OURS] is None:
        return "Not measured: `--mnist FOLDER` says where MNIST's gzip files are."
    rows = [(f"`{OURS}`", spread(seconds[OURS], ".3f")), (BOUND, spread(seconds[BOUND], ".3f"))]
    return (
        "Full MNIST from gzip files to datasets on disk, checked, hashed and synced; and what no conversion can do "
        "without: decompressing the same files, and SHA-256 of what they hold. Each in a process of its own, without "
        f"the start of Python.\n\n{table(['what', 'seconds'], rows)}\n"
    )


CHAPTER = Chapter("conversion", "Conversion", measure, show, bars)
