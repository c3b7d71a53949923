"""A job: the settings and paths of a training."""

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.transform import Transform
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.plan.stream_plan import StreamPlan
from ddmlp.training.messages import CREDITS


@dataclass(frozen=True)
class Job:
    """Everything that a trainer needs to know, in any process: settings, paths and source text, no arrays.

    Parameters
    ----------
    config : TrainConfig
        The settings that the result depends on.
    data : Path
        The folder with the dataset `train` and, unless there are no test data, `test`.
    run : Path
        The folder of the run.
    workers : int
        The maximum number of workers; 0: train in one process.
    checkpoint_every : int
        Steps between checkpoints. The end of an epoch has a checkpoint in any case.
    keep : int
        The number of checkpoints to keep.
    stop_after : int, optional
        The step to stop at, if that is before the end of the plan.
    idle_timeout : float
        Seconds without a new row after which training on a stream stops.
    least : int, optional
        The number of workers that must be available at the start; by default all of them.
    max_deaths : int
        The run fails after more deaths than this: of the server since the newest checkpoint, or of workers since the
        last step, on average per worker.
    servers : int
        The number of servers that the weights are divided among; 1: the process that applies the steps has them.
    timeouts : Timeouts
        The limits of all waits.
    log_level : int
        The level of the actors' logs, as a number of `logging`.
    certificates : Path, optional
        The folder, on every node, with the certificates for connections between nodes; by default they are made for the
        run.
    transform : Transform, optional
        What changes the pixels of rows before they are trained on; its hash is in `config`.
    drift_alarm : bool
        Whether to record rises of the prequential error.
    trace : bool
        Whether to write a trace; see `Trace`.
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
    servers: int = 1
    timeouts: Timeouts = field(default_factory=Timeouts)
    log_level: int = logging.WARNING
    certificates: Path | None = None
    transform: Transform | None = None
    drift_alarm: bool = False
    trace: bool = False

    @property
    def fewest(self) -> int:
        """The number of workers that must be available at the start."""
        return self.workers if self.least is None else self.least

    @property
    def elastic(self) -> bool:
        """Whether the number of workers depends on the free CPUs of the cluster."""
        return self.fewest < self.workers

    def plan(self, data: Manifest) -> Plan:
        """The plan of this job on the training data."""
        c = self.config
        kind, ended = (StreamPlan, data.ended) if c.follow else (Plan, True)
        return kind(
            data.rows, c.batch, c.microbatch, c.epochs, c.seed, data.batch_rows, c.window, ended, c.gradient_bits
        )

    @property
    def test(self) -> Path | None:
        """The folder of the test data; None if there are none."""
        path = self.data / "test"
        return path if (path / NAME).exists() else None

    @property
    def queue_capacity(self) -> int:
        """The maximum number of open units: twice what the workers may hold."""
        return 2 * CREDITS * max(1, self.workers)

    @property
    def window(self) -> int:
        """The maximum number of open steps: begun, but not applied."""
        if not self.config.asynchronous:
            return self.config.delay + 1
        return int(min(self.config.bound + 1, max(1, self.workers)))

    def shape(self, data: Manifest) -> Shape:
        """The shape of the network: one input per pixel, one output per class."""
        return Shape(data.pixels, self.config.hidden, data.classes)
