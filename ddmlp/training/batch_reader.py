"""Finds the rows of steps: their labels, and where their pixels lie."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset, LocatedRows
from ddmlp.data.shards import MappedShard
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import row_hashes

# Rows that are looked up at a time, if a step has fewer: each time has a cost for each shard. Of a larger step, only
# what is asked for.
LOT = 4096


class StepRows(NamedTuple):
    """Rows of steps that follow each other, or of a part of one step.

    addresses (B,): of the rows' pixels; labels (B,) uint8; bounds (steps + 1,): where the rows of each step begin, and
    where the last ones end; fingerprints: of each step, the sum of those of its rows; maps: the shards that the
    addresses are in, which must be kept as long as these are used.
    """

    addresses: NDArray[np.intp]
    labels: NDArray[np.uint8]
    bounds: NDArray[np.intp]
    fingerprints: list[int]
    maps: list[MappedShard]


class BatchReader:
    """Finds what the steps of a plan train on."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._located = LocatedRows(np.empty(0, np.intp), np.empty(0, np.uint8), [])
        self._sums = np.zeros(1, np.uint64)  # of the fingerprints of the first 0, 1, ... rows that are here
        self._step = self._begin = 0  # the step, and the row of it, that they begin with

    def read(self, plan: Plan, step: int, begin: int = 0, count: int | None = None) -> StepRows:
        """So many rows of `step` from its row `begin` on, fewer if it has no more; all of them if `count` is None.

        Raises DatasetError.
        """
        left = plan.rows_before(step + 1) - plan.rows_before(step) - begin
        count = left if count is None else min(count, left)
        place = self._place(plan, step, begin)
        if not 0 <= place <= len(self._located.labels) - count:
            if plan.batch > LOT:
                self._load(plan.rows_from(step, begin, count))
                self._step, self._begin = step, begin
            else:
                self._load(plan.rows_from(step, 0, LOT - LOT % plan.batch))
                self._step, self._begin = step, 0
            place = self._place(plan, step, begin)
        return self._rows(np.array([place, place + count]))

    def read_steps(self, plan: Plan, step: int, most: int) -> StepRows:
        """The rows of `step`, and of as many steps behind it as can be read with it: at most so many in all.

        Raises DatasetError.
        """
        first = self.read(plan, step)
        if plan.batch > LOT or len(first.labels) < plan.batch:
            return first
        begin = self._place(plan, step, 0)
        count = min(most, (len(self._located.labels) - begin) // plan.batch)
        return self._rows(begin + plan.batch * np.arange(count + 1))

    def _place(self, plan: Plan, step: int, begin: int) -> int:
        """Where a row of a step is among the rows that were read last, if it is."""
        return (step - self._step) * plan.batch + begin - self._begin

    def _load(self, rows: NDArray[np.intp]) -> None:
        self._located = self._dataset.locate(rows)
        self._sums = np.zeros(len(rows) + 1, np.uint64)
        np.add.accumulate(row_hashes(rows), out=self._sums[1:])

    def _rows(self, bounds: NDArray[np.intp]) -> StepRows:
        begin, end = bounds[0], bounds[-1]
        fingerprints = np.diff(self._sums[bounds]).tolist()  # modulo 2^64, as unsigned numbers are
        addresses, labels, maps = self._located
        return StepRows(addresses[begin:end], labels[begin:end], bounds - begin, fingerprints, maps)
