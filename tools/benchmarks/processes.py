"""Measured in processes of their own: a contestant, and the training command."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ddmlp.errors import TrainingError
from ddmlp.manifest import Manifest

ROOT = Path(__file__).resolve().parents[2]
# Before NumPy is imported, because not every library can be told later.
FAST, SLOW = 30e6, 3e6  # rows/s times hidden units that are expected at most, in batches and one by one
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def run(module: str, *arguments: object, threads: int | None = None) -> str:
    """What `python -m module` prints, held to so many threads; raises TrainingError where it fails."""
    words = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, **({name: str(threads) for name in THREADS} if threads else {})}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise TrainingError(f"{' '.join(words)} failed: {last}")
    return done.stdout


def answer(module: str, *arguments: object, threads: int = 1) -> dict[str, Any]:
    """The JSON object that is the last line of what `python -m module` prints."""
    found: dict[str, Any] = json.loads(run(module, *arguments, threads=threads).splitlines()[-1])
    return found


def trained(data: Path, *flags: object) -> dict[str, Any]:
    """The result of python -m ddmlp.train with these flags, run as anyone runs it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        run("ddmlp.train", "--data", data, "--run", path, "--quiet", *flags)
        result: dict[str, Any] = json.loads((path / "result.json").read_bytes())
        return result


def stint(hidden: int, batch: int, microbatch: int, seconds: float, rows: int) -> tuple[str, ...]:
    """Flags of the training command for a fixed number of steps, which takes it at least about so many seconds on a
    dataset of so many rows. Fixed beforehand, so that every repeat ends with the same weights."""
    rows_per_second = (SLOW if batch == 1 else FAST) / hidden
    steps = max(1, round(rows_per_second * seconds / batch))
    epochs = steps // -(-rows // batch) + 1
    given = {"hidden": hidden, "batch": batch, "microbatch": microbatch, "epochs": epochs, "stop-after": steps}
    return tuple(str(word) for name, value in given.items() for word in (f"--{name}", value))


def rows_of(data: Path) -> int:
    """How many rows there are to train on."""
    return Manifest.read(data / "train").rows
