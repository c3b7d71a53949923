"""What is played instead of arithmetic: waits, and gradients that are cheap to make.

The gradients are small whole numbers, so their sums have no rounding. They depend on the weights, on the step and on
each microbatch: the hash of the weights at the end shows whether every worker had the right weights, and whether every
gradient was added once.
"""

import time
from typing import NamedTuple

import numpy as np

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.batch_reader import BatchReader
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.reduction import Reduction
from ddmlp.training.weight_slice import WeightSlice
from ddmlp.training.worker import Worker

PIXELS = 10  # of an image: few, because they are not used


class Training(NamedTuple):
    """What to train: `steps` steps of `microbatches` microbatches of one row, of a network with one output."""

    steps: int
    microbatches: int
    hidden: int

    @property
    def shape(self) -> Shape:
        return Shape(PIXELS, self.hidden, 1)

    @property
    def config(self) -> TrainConfig:
        return TrainConfig(hidden=self.hidden, batch=self.microbatches, microbatch=1, epochs=1, window=1)


def expected_sha256(training: Training) -> str:
    """The hash of the weights that one process has after all steps."""
    config, node = training.config, Node(0, training.microbatches)
    weights, gradient = Weights.draw(training.shape, config.seed), Weights(training.shape)
    optimizer, nothing = SGD(config), np.empty(0, np.float32)
    for step in range(training.steps):
        fill(Unit(step, step, node), weights, gradient)
        optimizer.update(weights, gradient.flat, nothing, optimizer.step_size(step, training.steps), weights)
    return weights.sha256()


def fill(unit: Unit, weights: Weights, out: Weights) -> None:
    """Make the gradient of a unit: whole numbers below 2^24, which depend on the weights and on each microbatch."""
    values = sum((7 * microbatch + 31 * unit.step) % 13 for microbatch in range(*unit.node))
    out.flat[:] = np.arange(len(out.flat), dtype=np.float32) % 5 * values + unit.microbatches * np.sign(weights.flat)


class PlayedWorker(Worker):
    """A worker that waits instead of computing."""

    seconds = 0.0  # for a microbatch

    def __init__(self, dataset: Dataset, plan: Plan, shape: Shape, *_: object) -> None:
        self.shape, self._plan, self._reader = shape, plan, BatchReader(dataset)

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        end = time.monotonic() + unit.microbatches * self.seconds
        rows = self._reader.read(self._plan, unit.step, unit.node.lo, unit.microbatches)
        fill(unit, weights, out)
        time.sleep(max(0.0, end - time.monotonic()))
        return RowStats(len(rows.labels), rows.fingerprints[0], 0.0, 0, 1.0)


class PlayedServer(ParameterServer):
    """A server that also waits for as long as it would add a gradient."""

    seconds = 0.0

    def receive(self, gradient: Gradient) -> None:
        time.sleep(self.seconds)
        super().receive(gradient)


class PlayedSlice(WeightSlice):
    """The same, of a slice."""

    seconds = 0.0

    def add(self, unit: Unit, flat: Floats, worker: int, checksum: int) -> None:
        time.sleep(self.seconds)
        super().add(unit, flat, worker, checksum)


class PlayedReduction(Reduction):
    """The additions of a relay, which wait, too."""

    seconds = 0.0

    def add_gradient(self, gradient: Gradient) -> None:
        time.sleep(self.seconds)
        super().add_gradient(gradient)
