"""The plan of a stream: rows that may still be coming, each trained on once, in the order of their publication."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ddmlp.plan.plan import Plan

PERIOD_ROWS = 60_000


@dataclass(frozen=True)
class StreamPlan(Plan):
    """Step s trains on the rows s B <= row < (s + 1) B, however they are cut into shards. It is known once they are
    there; the rows that are left at the end of the stream are the last step.

    What is done after each epoch of a plan that has epochs, is done after each period of about PERIOD_ROWS rows.
    """

    @property
    def steps_per_epoch(self) -> int:
        """Of a period."""
        return max(1, PERIOD_ROWS // self.batch)

    @property
    def steps(self) -> int:
        """That are known by now."""
        return -(-self.rows // self.batch) if self.ended else self.rows // self.batch

    def rows_before(self, step: int) -> int:
        return min(step * self.batch, self.rows)

    def rows_from(self, step: int, begin: int, count: int) -> NDArray[np.intp]:
        start = step * self.batch + begin
        return np.arange(start, min(start + count, self.rows))

    def epoch_rows(self, step: int) -> Iterator[NDArray[np.intp]]:
        """The rows of the period that `step` is in, up to it."""
        begin = step - step % self.steps_per_epoch
        yield np.arange(self.rows_before(begin), self.rows_before(step))

    def epoch_row_range(self, epoch: int) -> tuple[int, int]:
        begin = epoch * self.steps_per_epoch
        return self.rows_before(begin), self.rows_before(begin + self.steps_per_epoch)

    def extended_to(self, rows: int, *, ended: bool) -> "StreamPlan":
        return replace(self, rows=rows, ended=ended)
