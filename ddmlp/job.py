"""A job: what a trainer is told, and what it reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddmlp.config import TrainConfig
from ddmlp.manifest import Manifest
from ddmlp.network import Shape
from ddmlp.plan import Plan

Event = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What a trainer needs to know, in this process or another: settings and paths, no arrays.

    checkpoint_every: steps between checkpoints, besides those at the end of each epoch; stop_after: the step to stop
    at, where that is before the plan's end; workers: how many were asked for.
    """

    config: TrainConfig
    data: Path
    run: Path
    workers: int
    checkpoint_every: int
    stop_after: int | None = None

    def plan(self, data: Manifest) -> Plan:
        """The plan of this job on the training data."""
        c = self.config
        return Plan(data.rows, c.batch, c.microbatch, c.epochs, c.seed, data.batch_rows, c.window)

    def shape(self, data: Manifest) -> Shape:
        """The network's: as many inputs as a row has pixels, as many outputs as there are classes."""
        return Shape(data.pixels, self.config.hidden, data.classes)


@dataclass(frozen=True)
class Report:
    """How far a trainer is. error: the mean of E over the rows since the last report, nan where there were none;
    depth: units on the books of the queue; events: what belongs into metrics.jsonl; done: whether it has ended."""

    step: int
    steps: int
    epoch: int
    error: float
    rows_per_second: float
    depth: int
    events: list[Event]
    done: bool
