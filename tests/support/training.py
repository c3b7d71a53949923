"""The training command: settings of short runs, their files, and errors."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SMALL = ["--hidden", "16", "--batch", "100", "--microbatch", "32", "--epochs", "3"]
COMMAND = [sys.executable, "-m", "ddmlp.train", "--no-report"]
GO_ON = ("continue ", "or end with the rows so far: ")
Train = Callable[..., subprocess.CompletedProcess[str]]


def result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_bytes())
    return found


def events(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Assert that a command failed with a one-line error with these words; another line may say how to continue."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert not [line for line in done.stderr.splitlines()[1:] if not line.startswith(GO_ON)]
    for word in words:
        assert word in done.stderr
