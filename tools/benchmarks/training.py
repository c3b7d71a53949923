"""The training command as a contestant."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ddmlp.data.manifest import Manifest
from tools.benchmarks import processes

FAST, SLOW = 30e6, 3e6  # rows/s times hidden units that are expected at most, in batches and one by one


def trained(data: Path, *flags: object) -> dict[str, Any]:
    """The result of python -m ddmlp.train with these flags, run as anyone runs it; without a report, which no
    peer writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        processes.run("-m", "ddmlp.train", "--data", data, "--run", path, "--quiet", "--no-report", *flags)
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
