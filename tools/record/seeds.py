"""The runs of the record: one for each seed, each begun, continued, or found finished."""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import ddmlp
from ddmlp.api.run import settings
from ddmlp.cli.terminal import command
from ddmlp.config import TrainConfig
from ddmlp.data.manifest import Manifest
from ddmlp.errors import ConfigError, TrainingError
from ddmlp.runs.events import Epoch
from ddmlp.runs.records import Records
from ddmlp.runs.result import RunResult
from ddmlp.runs.run import Run

LINES = 10  # epochs between two lines of progress


@dataclass(frozen=True)
class Seed:
    """A run that is to be made.

    Parameters
    ----------
    folder : Path
        Its folder.
    data : Path
        Folder with train/ and test/.
    given : dict
        Its settings; the others have their defaults.
    """

    folder: Path
    data: Path
    given: dict[str, Any]

    @property
    def config(self) -> TrainConfig:
        """All settings. Raises ConfigError."""
        return settings(self.given, None, None, follow=False)

    def result(self) -> RunResult | None:
        """The result, if the run is finished.

        Raises ConfigError if a setting is invalid, or if the folder holds another run.
        """
        run, expected = Run(self.folder), self.config
        if not run.exists:
            return None
        found = run.origin()
        remedy = f"in {self.folder}; remove this folder, or choose another one for the runs"
        for name, value in expected.as_dict().items():
            if (other := getattr(found.config, name)) != value:
                raise ConfigError(f"{name} is {other!r}, expected {value!r} {remedy}")
        if found.dataset_sha256 != (identity := Manifest.read(self.data / "train").identity(growing=False)):
            raise ConfigError(f"the data are {found.dataset_sha256[:16]}..., expected {identity[:16]}... {remedy}")
        result = run.result()
        return result if result and result.finished else None

    def train(self) -> None:
        """Begin the run, or continue it from its newest checkpoint."""
        how: dict[str, Any] = {"progress": False, "callbacks": [Lines(self.folder, self.given["epochs"])]}
        if Run(self.folder).exists:
            ddmlp.resume(self.folder, data=self.data, **how)
        else:
            ddmlp.fit(self.data, run=self.folder, **how, **self.given)

    @property
    def wall_seconds(self) -> float | None:
        """Seconds from the beginning of a finished run to its end; None if it was interrupted."""
        if len(Records.read(self.folder / "metrics.jsonl").started) > 1:
            return None
        return (self.folder / "result.json").stat().st_mtime - (self.folder / "config.json").stat().st_mtime


class Lines(ddmlp.Callback):
    """Prints a line now and then."""

    def __init__(self, folder: Path, epochs: int) -> None:
        self._folder, self._epochs, self._began = folder, epochs, time.monotonic()

    def on_test(self, epoch: Epoch) -> None:
        if epoch.epoch % LINES == 0 or epoch.epoch in (1, self._epochs):
            passed = f"{(time.monotonic() - self._began) / 60:.1f} minutes"
            print(f"{self._folder}: epoch {epoch.epoch} of {self._epochs}, {passed}", file=sys.stderr, flush=True)


def train_all(seeds: Sequence[Seed], at_once: int) -> None:
    """Make the runs that are not finished, `at_once` side by side, each in a process of its own.

    Raises ConfigError, before any training, if a folder holds another run; TrainingError if a training fails.
    """
    waiting = [seed for seed in seeds if seed.result() is None]
    going: dict[int, tuple[Seed, SpawnProcess]] = {}
    try:
        while waiting or going:
            while waiting and len(going) < at_once:
                seed = waiting.pop(0)
                process = get_context("spawn").Process(target=train, args=(seed,))
                process.start()
                going[process.sentinel] = seed, process
            for ended in wait(going):
                assert isinstance(ended, int)
                seed, process = going.pop(ended)
                process.join()
                if process.exitcode:
                    raise TrainingError(f"the training of {seed.folder} has ended with status {process.exitcode}")
    finally:
        for _, process in going.values():  # after Ctrl-C, they write a checkpoint
            process.join()


def train(seed: Seed) -> None:
    """Make a run in this process, and end it. If the parent process dies, the run stops with a checkpoint."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
    command(seed.train)
