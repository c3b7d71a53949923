"""The plan: which rows make each step, and in which order their gradients are added. Integers only.

Steps are numbered from 0 through the whole run, so a position is a single number: "the first `step` steps are applied".
The plan does not depend on the number of workers, except for `Plan.units_for`, which only decides how much of the
reduction tree one message covers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.plan.cut import cut
from ddmlp.plan.epoch_order import EpochOrder
from ddmlp.plan.reduction_tree import Node


class Update(NamedTuple):
    """The update that makes a version, by the gradient of `step`, computed with the weights of version `read`."""

    step: int
    read: int


@dataclass(frozen=True)
class Plan:
    """The order of a run's rows, and how they are cut into steps and microbatches: a function of these numbers alone.

    Parameters
    ----------
    rows : int
        Rows of the dataset.
    batch : int
        Rows of a global batch: one step.
    microbatch : int
        Rows of a microbatch.
    epochs : int
        Passes over the dataset.
    seed, block, window : int
        The parameters of `EpochOrder`.
    ended : bool
        Whether the dataset will not grow any more.
    gradient_bits : int
        Bits that the gradient of a microbatch is rounded to; 0: it is not rounded.

    Examples
    --------
    >>> plan = Plan(rows=10, batch=4, microbatch=2, epochs=2, seed=0, block=5, window=10)
    >>> plan.steps, plan.rows_before(3)
    (6, 10)
    >>> plan.rows_from(step=0, begin=0, count=4)
    array([6, 7, 9, 5])
    >>> plan.units_for(step=0, capacities=(1, 1))
    (Node(lo=0, hi=1), Node(lo=1, hi=2))
    """

    rows: int
    batch: int
    microbatch: int
    epochs: int
    seed: int
    block: int
    window: int
    ended: bool = True
    gradient_bits: int = 0

    @cached_property
    def steps_per_epoch(self) -> int:
        """The number of steps of an epoch."""
        return -(-self.rows // self.batch)

    @cached_property
    def steps(self) -> int:
        """The number of steps of the run."""
        return self.steps_per_epoch * self.epochs

    def epoch(self, step: int) -> int:
        """The number of the epoch that has `step`: the number of epochs that are complete before it."""
        return step // self.steps_per_epoch

    def passes_before(self, step: int) -> int:
        """The number of passes over the rows that are complete before `step`: the epoch that a transform gets."""
        return self.epoch(step)

    def rows_before(self, step: int) -> int:
        """The number of rows in the first `step` steps, over all epochs."""
        epochs, steps = divmod(step, self.steps_per_epoch)
        return epochs * self.rows + min(steps * self.batch, self.rows)

    def microbatches(self, step: int) -> int:
        """The number of microbatches of `step`. The last step of an epoch, with the remaining rows, may have fewer."""
        rows = min(self.batch, self.rows - step % self.steps_per_epoch * self.batch)
        return -(-rows // self.microbatch)

    def rows_from(self, step: int, begin: int, count: int) -> NDArray[np.intp]:
        """The numbers of `count` rows in their order, from the row `begin` of `step` on, also beyond that step.

        Shape (count,), intp; fewer at the end of the epoch.
        """
        start = (step % self.steps_per_epoch) * self.batch + begin
        return self._order(self.epoch(step))[start : min(start + count, self.rows)]

    def epoch_rows(self, step: int) -> Iterator[NDArray[np.intp]]:
        """The rows of the current epoch that come before `step`, in parts and in order."""
        order, stop = self._order(self.epoch(step)), (step % self.steps_per_epoch) * self.batch
        part = max(self.window, self.batch)
        for start in range(0, stop, part):
            yield order[start : min(start + part, stop)]

    def units_for(self, step: int, capacities: tuple[int, ...]) -> tuple[Node, ...]:
        """Cut the step's tree into nodes, each the work of one unit, for connections with these numbers of workers; see
        `cut`."""
        return cut(Node(0, self.microbatches(step)), capacities)

    def epoch_row_range(self, _epoch: int) -> tuple[int, int]:
        """The half-open range (begin, end) of the rows that an epoch trains on, in any order."""
        return 0, self.rows

    def extended_to(self, _rows: int, *, ended: bool) -> "Plan":  # noqa: ARG002
        """The plan for a dataset that has grown: this one, because its number of rows is fixed; see `StreamPlan`."""
        return self

    @cached_property
    def _order(self) -> Callable[[int], EpochOrder]:
        return lru_cache(maxsize=2)(partial(EpochOrder, self.rows, self.block, self.window, self.seed))
