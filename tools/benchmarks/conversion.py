"""Full MNIST from gzip files to datasets on disk, checked, hashed and synced; and what no conversion can do without:
decompressing the same files, and SHA-256 of what they hold. Each in a process of its own, without the start of Python.
Needs `--mnist FOLDER`, which has MNIST's gzip files.
"""

import gzip
import hashlib
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ddmlp.data.convert import convert, find_pairs
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target
from tools.benchmarks.processes import in_process
from tools.benchmarks.record import Entry

OURS, BOUND = "ddmlp: tools/idx2arrow.py", "decompress and hash"


def conversion(source: Path, out: Path) -> dict[str, float]:
    """Seconds of what tools/idx2arrow.py does."""
    start = time.perf_counter()
    train, test = find_pairs(source)
    convert({out / "train": train, out / "test": test})
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return {"seconds": seconds}


def decompression(paths: Sequence[Path]) -> dict[str, float]:
    """Seconds to put what these gzip files hold through SHA-256."""
    start = time.perf_counter()
    for path in paths:
        with gzip.open(path) as file:
            hashlib.file_digest(file, "sha256")
    return {"seconds": time.perf_counter() - start}


def cases(settings: Settings) -> Cases:
    source = settings.mnist
    if source is not None:
        files = [path for pair in find_pairs(source) for path in pair]
        ours = partial(in_process, conversion, source, settings.scratch / "converted")
        yield "", {OURS: ours, BOUND: partial(in_process, decompression, files)}


def targets(entry: Entry) -> list[Target]:
    return [Target(f"speed of {OURS} to that of {BOUND}", entry.ratio("", BOUND, OURS, "seconds"), 0.5)]


BENCHMARK = Benchmark("conversion", "Conversion", __doc__, cases, targets, of=BOUND)
