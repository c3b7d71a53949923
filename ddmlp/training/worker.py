"""The worker: computes units. A plain class, the same in this process and in a Ray actor."""

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.config import Timeouts
from ddmlp.data.dataset import Dataset
from ddmlp.errors import DatasetError
from ddmlp.nn.inputs import Inputs, Loader
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights
from ddmlp.numerics import pin
from ddmlp.plan.plan import Plan
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.batch_reader import BatchReader
from ddmlp.training.messages import Unit

POLL_SECONDS = 0.05


class Worker:
    """Turns units into gradients: reads the rows, computes each microbatch, and adds up the unit's subtree."""

    def __init__(self, dataset: Dataset, plan: Plan, shape: Shape, timeouts: Timeouts | None = None) -> None:
        pin()
        self.shape = shape
        self._dataset, self._plan, self._timeout = dataset, plan, (timeouts or Timeouts()).rows
        rows = min(plan.microbatch, plan.batch, *([plan.rows] if plan.ended else []))
        self._network = Network(shape, rows)
        self._reader = BatchReader(dataset)
        self._loader = Loader(shape, rows)
        self._last = 0  # step of the unit before
        self._prefetched: _Loaded | None = None  # what was read ahead, and still lies in the buffers
        self._scratch: list[Weights] = []  # one a level of the tree

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        """The unit's gradient into `out`, where it may be compact; returns what is counted of its rows. Raises
        DatasetError where they do not come to be seen within a bound."""
        if unit.step >= self._plan.steps:
            self._wait_for_rows(unit)
        return self._node(unit.step, unit.node, weights, out, 0)

    def _node(self, step: int, node: Node, weights: Weights, out: Weights, level: int) -> RowStats:
        if node.leaf:
            return self._microbatch(step, node.lo, weights, out)
        left, right = node.children()
        row_stats = self._node(step, left, weights, out, level)
        if level == len(self._scratch):
            self._scratch.append(Weights(self.shape))
        scratch = self._scratch[level]
        row_stats = row_stats.plus(self._node(step, right, weights, scratch, level + 1))
        out.expand()
        scratch.expand()
        np.add(out.flat, scratch.flat, out=out.flat)
        return row_stats

    def _wait_for_rows(self, unit: Unit) -> None:
        """Have the rows of a step that are published, and not seen here yet."""
        deadline, dataset = time.monotonic() + self._timeout, self._dataset
        while True:
            dataset.grow()
            self._plan = self._plan.extended_to(dataset.manifest.rows, ended=dataset.manifest.ended)
            if unit.step < self._plan.steps:
                dataset.forget(self._plan.rows_before(unit.step))
                return
            if time.monotonic() > deadline:
                raise DatasetError(
                    f"{dataset.path} has {len(dataset)} rows, expected those of step {unit.step}: what was published "
                    f"elsewhere is not visible here after {self._timeout:g} s; is it one folder for every node?"
                )
            time.sleep(POLL_SECONDS)

    def prefetch(self, unit: Unit) -> None:
        """Read what most likely begins the next unit: the same node, as many steps on as this unit is from the last.
        To be called after `unit` is computed, while there is nothing else to do."""
        step, self._last = 2 * unit.step - self._last, unit.step
        if unit.step < step < self._plan.steps and unit.node.lo < self._plan.microbatches(step):
            self._prefetched = self._load(step, unit.node.lo)

    def _microbatch(self, step: int, index: int, weights: Weights, out: Weights) -> RowStats:
        loaded, self._prefetched = self._prefetched, None
        if loaded is None or loaded[:2] != (step, index):
            loaded = self._load(step, index)
        inputs, labels = loaded.inputs, loaded.labels
        return RowStats(len(labels), loaded.fingerprints, *self._network.gradients(weights, inputs, labels, out))

    def _load(self, step: int, index: int) -> "_Loaded":
        pixels, labels, fingerprints = self._reader.read(self._plan, step, index)
        return _Loaded(step, index, *self._loader.arrange(pixels, labels), fingerprints)


class _Loaded(NamedTuple):
    """A microbatch as the network takes it, in buffers of the loader."""

    step: int
    microbatch: int
    inputs: Inputs
    labels: NDArray[np.uint8]
    fingerprints: int
