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

    workers: how many there may be; checkpoint_every: steps between checkpoints, besides those at the end of each epoch;
    keep: how many checkpoints; stop_after: the step to stop at, where that is before the plan's end; least: how many
    workers must be there at the start, where that is not all of them.
    """

    config: TrainConfig
    data: Path
    run: Path
    workers: int
    checkpoint_every: int
    keep: int = 3
    stop_after: int | None = None
    least: int | None = None

    @property
    def fewest(self) -> int:
        """How many workers must be there at the start."""
        return self.workers if self.least is None else self.least

    @property
    def elastic(self) -> bool:
        """Whether the number of workers follows the room that there is."""
        return self.fewest < self.workers

    def plan(self, data: Manifest) -> Plan:
        """The plan of this job on the training data."""
        c = self.config
        return Plan(data.rows, c.batch, c.microbatch, c.epochs, c.seed, data.batch_rows, c.window)

    def shape(self, data: Manifest) -> Shape:
        """The network's: as many inputs as a row has pixels, as many outputs as there are classes."""
        return Shape(data.pixels, self.config.hidden, data.classes)


@dataclass(frozen=True)
class Report:
    """How far a trainer is.

    error, rows_per_second: the mean of E and the speed since the last report, nan and 0 where no row was trained on;
    depth: the most units that were on the books of the queue at a time; workers: how many there are; hung: those that
    have not answered for long; events: what belongs into metrics.jsonl; result: where the trainer is where it was to
    end, what there is to say of the run.
    """

    step: int
    steps: int
    epoch: int
    error: float
    rows_per_second: float
    depth: int
    workers: int
    hung: list[int]
    events: list[Event]
    result: dict[str, Any] | None

    @property
    def done(self) -> bool:
        return self.result is not None
