"""Duration of the conversion, compared with its necessary parts: decompression and SHA-256."""

import gzip
import hashlib
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ddmlp.data.convert import convert, find_pairs
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target, seconds_of
from tools.benchmarks.processes import in_process
from tools.benchmarks.record import Entry

OURS, BOUND = "ddmlp: tools/idx2arrow.py", "decompress and hash"


def conversion(source: Path, scratch: Path) -> None:
    """Convert MNIST, like tools/idx2arrow.py."""
    out = Path(tempfile.mkdtemp(dir=scratch))
    train, test = find_pairs(source)
    convert({out / "train": train, out / "test": test})


def decompression(paths: Sequence[Path]) -> None:
    """Decompress gzip files, and hash their content."""
    for path in paths:
        with gzip.open(path) as file:
            hashlib.file_digest(file, "sha256")


def cases(settings: Settings) -> Cases:
    if settings.mnist is not None:
        files = [path for pair in find_pairs(settings.mnist) for path in pair]
        ours = partial(in_process, seconds_of, conversion, settings.mnist, settings.scratch)
        yield "", {OURS: ours, BOUND: partial(in_process, seconds_of, decompression, files)}


def targets(entry: Entry) -> list[Target]:
    return [Target(f"speed of {OURS} to that of {BOUND}", entry.ratio("", BOUND, OURS, "seconds"), 0.5)]


BENCHMARK = Benchmark("conversion", cases, targets, of=BOUND)
