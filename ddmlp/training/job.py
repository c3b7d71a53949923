"""A job: what a trainer needs to know."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.plan.stream_plan import StreamPlan
from ddmlp.training.messages import CREDITS


@dataclass(frozen=True)
class Job:
    """What a trainer needs to know, in this process or another: settings and paths, no arrays.

    workers: how many there may be; checkpoint_every: steps between checkpoints, besides those at the end of each epoch;
    keep: how many checkpoints; stop_after: the step to stop at, if that is before the plan's end; idle_timeout:
    seconds without a new row after which it stops, if rows may still be coming; least: how many workers must be there
    at the start, if that is not all of them; max_deaths: of the server without a newer checkpoint, and of each worker
    without a step between, before the run is given up.
    """

    config: TrainConfig
    data: Path
    run: Path
    workers: int
    checkpoint_every: int
    keep: int = 3
    stop_after: int | None = None
    idle_timeout: float = math.inf
    least: int | None = None
    max_deaths: int = 10
    timeouts: Timeouts = field(default_factory=Timeouts)

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
        kind, ended = (StreamPlan, data.ended) if c.follow else (Plan, True)
        return kind(data.rows, c.batch, c.microbatch, c.epochs, c.seed, data.batch_rows, c.window, ended)

    @property
    def test(self) -> Path | None:
        """The test data, if there are any."""
        path = self.data / "test"
        return path if (path / NAME).exists() else None

    @property
    def queue_capacity(self) -> int:
        """The most units that may be open at a time: twice what the workers may hold."""
        return 2 * CREDITS * max(1, self.workers)

    @property
    def window(self) -> int:
        """The most steps that are open at a time: begun, and not applied."""
        if not self.config.asynchronous:
            return self.config.delay + 1
        return int(min(self.config.bound + 1, max(1, self.workers)))

    def shape(self, data: Manifest) -> Shape:
        """The network's: as many inputs as a row has pixels, as many outputs as there are classes."""
        return Shape(data.pixels, self.config.hidden, data.classes)
