"""Runs that follow a growing dataset."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.config import TrainConfig
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer
from tests.support.helpers import plain

CONFIG = TrainConfig(hidden=8, batch=60, microbatch=32, epochs=1, lr_schedule="constant", follow=True)
ROWS = 1_000  # 16 steps, and 40 rows at the end
PUBLICATIONS = [100, 1, 59, 300, 260, 7, 273]


class Stream:
    """A dataset that grows on request, and a job that follows it."""

    def __init__(self, folder: Path, digits: tuple[np.ndarray, np.ndarray], **config: Any) -> None:
        self.path, self._digits, self.rows = folder / "data" / "train", digits, 0
        (folder / "run").mkdir(parents=True)
        self.job = Job(replace(CONFIG, **config), folder / "data", folder / "run", workers=0, checkpoint_every=5)

    def publish(self, rows: int, *, end: bool = False, shard_rows: int = 90) -> None:
        """Append the next `rows` rows, and mark the dataset as complete if `end`."""
        with DatasetWriter(self.path, (28, 28), 10, shard_rows=shard_rows, extend=True) as writer:
            writer.append(*(part[self.rows : self.rows + rows] for part in self._digits))
            if end:
                writer.end()
        self.rows += rows

    def begin(self) -> None:
        """Create the folder of the run."""
        Run(self.job.run).create(Origin.from_manifest(self.job.config, self.job.data, Manifest.read(self.path)))

    def result(self) -> dict[str, Any]:
        """Train to the end of the complete dataset; return the result."""
        return finished(build_trainer(self.job))


def advance(trainer: Trainer, step: int) -> list[dict[str, Any]]:
    """Train up to a step, and check for new rows; return the events."""
    events = []
    while trainer.step < step or not trainer._data.idle:
        report = trainer.advance(0)
        assert report.result is None, "the run ended"
        events += plain(report.events)
    return events


def finished(trainer: Trainer) -> dict[str, Any]:
    """Train to the end, and write the result; return it."""
    try:
        while (report := trainer.advance(0)).result is None:
            pass
    finally:
        trainer.close()
    Run(trainer._job.run).write_result(report.result)
    found: dict[str, Any] = plain(report.result)
    return found


def grown(stream: Stream, publications: Iterable[int], **options: Any) -> dict[str, Any]:
    """Publish rows in several parts, train after each part, then mark the end; return the result."""
    trainer = None
    for rows in publications:
        stream.publish(rows, **options)
        trainer = trainer or build_trainer(stream.job)
        advance(trainer, stream.rows // CONFIG.batch)
    stream.publish(0, end=True)
    return finished(trainer)
