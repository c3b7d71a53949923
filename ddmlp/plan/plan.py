"""The plan: which rows make each step, and in which order their gradients are added. Integers only.

Steps are numbered from 0 through the whole run, so one scalar is a position: "the first `step` steps are applied".
Nothing here knows how many workers there are, but for `Plan.units_for`, which only decides how much of the reduction
tree travels in one message.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.plan.epoch_order import EpochOrder
from ddmlp.plan.reduction_tree import Node


class Update(NamedTuple):
    """The update that makes a version: the gradient of `step`, computed with the weights of version `read`."""

    step: int
    read: int


@dataclass(frozen=True)
class Plan:
    """What a run computes, as a function of these numbers alone.

    rows: in the dataset; batch: in a global batch; microbatch: in a microbatch; block and window: see EpochOrder;
    ended: whether there will never be more rows.
    """

    rows: int
    batch: int
    microbatch: int
    epochs: int
    seed: int
    block: int
    window: int
    ended: bool = True

    @cached_property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // self.batch)

    @cached_property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def epoch(self, step: int) -> int:
        return step // self.steps_per_epoch

    def rows_before(self, step: int) -> int:
        """Rows applied when the first `step` steps are."""
        epochs, steps = divmod(step, self.steps_per_epoch)
        return epochs * self.rows + min(steps * self.batch, self.rows)

    def microbatches(self, step: int) -> int:
        """How many microbatches `step` has: fewer in an epoch's last step, which trains on what is left."""
        rows = min(self.batch, self.rows - step % self.steps_per_epoch * self.batch)
        return -(-rows // self.microbatch)

    def rows_from(self, step: int, begin: int, count: int) -> NDArray[np.intp]:
        """So many rows from the row `begin` of `step` on, in their order, also those of the steps that follow: shape
        (up to count,), fewer at the end of the epoch."""
        start = (step % self.steps_per_epoch) * self.batch + begin
        return self._order(self.epoch(step))[start : min(start + count, self.rows)]

    def epoch_rows(self, step: int) -> Iterator[NDArray[np.intp]]:
        """The rows of the epoch that `step` is in, up to it, in parts and in their order."""
        order, stop = self._order(self.epoch(step)), (step % self.steps_per_epoch) * self.batch
        part = max(self.window, self.batch)
        for start in range(0, stop, part):
            yield order[start : min(start + part, stop)]

    def units_for(self, step: int, workers: int) -> tuple[Node, ...]:
        """The step's tree cut into nodes to be computed in one go, for `workers` of like speed.

        Which cut is taken changes what is sent, never what is added: the largest that keeps the workers as evenly
        busy as the smallest would.
        """
        return _cut(self.microbatches(step), workers)

    def epoch_row_range(self, _epoch: int) -> tuple[int, int]:
        """The rows that an epoch is to have trained on, in any order: from one to before another."""
        return 0, self.rows

    def extended_to(self, _rows: int, *, ended: bool) -> "Plan":  # noqa: ARG002
        """This plan, where the dataset has come to so many rows: itself, for a plan is made for a number of rows."""
        return self

    @cached_property
    def _order(self) -> Callable[[int], EpochOrder]:
        return lru_cache(maxsize=2)(partial(EpochOrder, self.rows, self.block, self.window, self.seed))


@lru_cache(maxsize=4096)
def _cut(microbatches: int, workers: int) -> tuple[Node, ...]:
    root = Node(0, microbatches)
    sizes = [1 << bit for bit in range((microbatches - 1).bit_length(), -1, -1)]
    cuts = [tuple(root.split(size)) for size in sizes]
    return min(cuts, key=lambda nodes: _busiest(nodes, workers))


def _busiest(nodes: tuple[Node, ...], workers: int) -> int:
    """Microbatches of the worker that gets the most, when each next node goes to the one that has least."""
    loads = [0] * workers
    for node in nodes:
        least = loads.index(min(loads))
        loads[least] += node.hi - node.lo
    return max(loads)
