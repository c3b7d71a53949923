"""The plan of a stream: rows that are still arriving, each trained on once, in the order of their publication."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ddmlp.plan.plan import Plan

PERIOD_ROWS = 60_000


@dataclass(frozen=True)
class StreamPlan(Plan):
    """A plan whose step s trains on the rows s B <= row < (s + 1) B, however they are divided into shards.

    A step is part of the plan once all its rows have arrived. At the end of the stream, the remaining rows are the
    last step. A period of about PERIOD_ROWS rows takes the place of an epoch.

    >>> plan = StreamPlan(rows=25, batch=10, microbatch=4, epochs=1, seed=0, block=10, window=50, ended=False)
    >>> plan.steps, plan.extended_to(31, ended=False).steps, plan.extended_to(25, ended=True).steps
    (2, 3, 3)
    """

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps of a period."""
        return max(1, PERIOD_ROWS // self.batch)

    @property
    def steps(self) -> int:
        """The number of steps known so far."""
        return -(-self.rows // self.batch) if self.ended else self.rows // self.batch

    def passes_before(self, step: int) -> int:  # noqa: ARG002
        """None: each row is trained on once."""
        return 0

    def rows_before(self, step: int) -> int:
        """The number of rows in the first `step` steps."""
        return min(step * self.batch, self.rows)

    def rows_from(self, step: int, begin: int, count: int) -> NDArray[np.intp]:
        """The numbers of `count` rows from the row `begin` of `step` on; fewer if no more have arrived."""
        start = step * self.batch + begin
        return np.arange(start, min(start + count, self.rows))

    def epoch_rows(self, step: int) -> Iterator[NDArray[np.intp]]:
        """The rows of the current period that come before `step`."""
        begin = step - step % self.steps_per_epoch
        yield np.arange(self.rows_before(begin), self.rows_before(step))

    def epoch_row_range(self, epoch: int) -> tuple[int, int]:
        """The half-open range (begin, end) of the rows of a period."""
        begin = epoch * self.steps_per_epoch
        return self.rows_before(begin), self.rows_before(begin + self.steps_per_epoch)

    def extended_to(self, rows: int, *, ended: bool) -> "StreamPlan":
        """The plan after more rows have arrived; ended: whether these are all."""
        return replace(self, rows=rows, ended=ended)
