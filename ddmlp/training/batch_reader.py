"""Finds the rows of steps: their labels, and the addresses of their pixels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset, LocatedRows
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import row_hashes
from ddmlp.training.pixel_stage import PixelStage

# Rows that are located at a time, because each lookup has a cost per shard. If a step has more rows, only those that
# are asked for are located.
LOT = 4096


class StepRows(NamedTuple):
    """The rows of consecutive steps, or of a part of one step.

    Parameters
    ----------
    addresses : (rows,) intp
        The address of each row's pixels.
    labels : (rows,) uint8
        The class of each row.
    bounds : (steps + 1,) intp
        The first row of each step, and the number of rows.
    fingerprints : list of int
        The sum of the rows' fingerprints, modulo 2^64, for each step.
    memory : sequence
        What the addresses are in: mapped shards, or an array. Keep it as long as the addresses are used.
    """

    addresses: NDArray[np.intp]
    labels: NDArray[np.uint8]
    bounds: NDArray[np.intp]
    fingerprints: list[int]
    memory: Sequence[object]


class BatchReader:
    """Finds the rows that the steps of a plan train on. stage: changes their pixels; None: they are used in place."""

    def __init__(self, dataset: Dataset, stage: PixelStage | None = None) -> None:
        self._dataset, self._stage = dataset, stage
        self._numbers = np.empty(0, np.intp)  # of the located rows, in the dataset
        self._located = LocatedRows(np.empty(0, np.intp), np.empty(0, np.uint8), [])
        self._sums = np.zeros(1, np.uint64)  # of the fingerprints of the first 0, 1, ... located rows
        self._step = self._begin = 0  # the step of the first located row, and that row's number within the step

    def read(self, plan: Plan, step: int, begin: int = 0, count: int | None = None) -> StepRows:
        """Find `count` rows of `step`, from its row `begin` on; or fewer, if the step ends before. None: all of them.

        Raises DatasetError if a shard is missing or damaged, and the errors of the stage.
        """
        place, count = self._find(plan, step, begin, count)
        return self._rows(plan, step, np.array([place, place + count]))

    def read_steps(self, plan: Plan, step: int, most: int) -> StepRows:
        """Find the rows of `step`, and of as many following steps as are located with it: at most `most` steps in all.

        Raises as `read` does.
        """
        begin, count = self._find(plan, step, 0, None)
        if plan.batch > LOT or count < plan.batch:
            return self._rows(plan, step, np.array([begin, begin + count]))
        steps = min(most, (len(self._located.labels) - begin) // plan.batch)
        return self._rows(plan, step, begin + plan.batch * np.arange(steps + 1))

    def _find(self, plan: Plan, step: int, begin: int, count: int | None) -> tuple[int, int]:
        """Locate rows as `read` does; returns the index of the first among the located rows, and their number."""
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
        return place, count

    def _place(self, plan: Plan, step: int, begin: int) -> int:
        """The index of a step's row among the located rows; out of their range if it is not one of them."""
        return (step - self._step) * plan.batch + begin - self._begin

    def _load(self, rows: NDArray[np.intp]) -> None:
        self._located = self._dataset.locate(rows)
        self._numbers = rows
        self._sums = np.zeros(len(rows) + 1, np.uint64)
        np.add.accumulate(row_hashes(rows), out=self._sums[1:])

    def _rows(self, plan: Plan, step: int, bounds: NDArray[np.intp]) -> StepRows:
        begin, end = bounds[0], bounds[-1]
        fingerprints = np.diff(self._sums[bounds]).tolist()  # unsigned, so modulo 2^64
        located = self._located.addresses[begin:end]
        memory: Sequence[object] = self._located.maps
        if self._stage is not None:
            pixels = self._stage.apply(self._numbers[begin:end], plan.passes_before(step))
            located, memory = pixels.ctypes.data + pixels.strides[0] * np.arange(len(pixels)), [pixels]
        return StepRows(located, self._located.labels[begin:end], bounds - begin, fingerprints, memory)
