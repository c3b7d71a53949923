"""Reads the rows of microbatches; those of small steps for several of them at a time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import row_hashes

LOT = 1024  # rows that are read in one go, if a step has few: each read has a cost for each shard that it touches
MAX_LOT_BATCH = 128  # a larger step is read by itself: a worker needs only some of its rows


class LabelledRows(NamedTuple):
    """pixels (B, m) and labels (B,), uint8; fingerprints: the sum of those of the rows."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    fingerprints: int


class BatchReader:
    """Reads what the steps of a plan train on."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._pixels = self._labels = np.empty(0, np.uint8)
        self._sums = np.zeros(1, np.uint64)  # of the fingerprints of the first 0, 1, ... rows that are here
        self._step = 0  # that they begin with

    def read(self, plan: Plan, step: int, index: int) -> LabelledRows:
        """The rows of microbatch `index` of `step`. Raises DatasetError."""
        begin = index * plan.microbatch
        count = min(plan.microbatch, plan.batch - begin)
        if plan.batch > MAX_LOT_BATCH:
            self._load(plan.rows_from(step, begin, count))
            return self._rows(0, count)
        place = (step - self._step) * plan.batch + begin
        if not 0 <= place <= len(self._labels) - count:  # at the end of an epoch, or of what is known, they are fewer
            self._load(plan.rows_from(step, 0, LOT - LOT % plan.batch))
            self._step, place = step, begin
        return self._rows(place, count)

    def _load(self, rows: NDArray[np.intp]) -> None:
        self._pixels, self._labels = self._dataset.gather(rows)
        self._sums = np.zeros(len(rows) + 1, np.uint64)
        np.add.accumulate(row_hashes(rows), out=self._sums[1:])

    def _rows(self, place: int, count: int) -> LabelledRows:
        end = min(place + count, len(self._labels))
        sums = int(self._sums[end]) - int(self._sums[place])
        return LabelledRows(self._pixels[place:end], self._labels[place:end], sums % 2**64)
