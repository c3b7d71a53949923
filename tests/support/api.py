"""Calls of the Python API: short settings, and a callback that notes what it is told."""

from pathlib import Path
from typing import Any

import ddmlp

SMALL: dict[str, Any] = {"hidden": 8, "batch": 50, "epochs": 2}
STEPS = 160  # of these settings on the sample


class Watch(ddmlp.Callback):
    """Notes the calls; stops at the first test if it is to."""

    def __init__(self, stop: bool = False) -> None:
        self.calls: list[str] = []
        self._stop = stop

    def on_begin(self, run: Path, config: ddmlp.TrainConfig) -> None:
        assert (run / "config.json").exists()
        self.calls.append(f"begin {config.hidden}")

    def on_step(self, progress: Any) -> None:
        self.calls.append(f"step {progress.step}")

    def on_test(self, epoch: Any) -> None:
        self.calls.append(f"test {epoch.epoch} {epoch.error}")
        if self._stop:
            self.stop()

    def on_checkpoint(self, saved: Any) -> None:
        self.calls.append(f"checkpoint {saved.step}")

    def on_end(self, result: ddmlp.Result) -> None:
        self.calls.append(f"end {result.weights_sha256}")

    def close(self) -> None:
        self.calls.append("close")
