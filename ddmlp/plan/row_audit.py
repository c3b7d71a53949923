"""The row audit: checks that every row of an epoch was applied exactly once.

It counts the rows that were applied, independently of the plan, and adds up their fingerprints modulo 2^64. A row's
fingerprint is a 64-bit hash of its number. The sum does not depend on the order of the rows: if every row was applied
exactly once, it is that of the rows 0, 1, ... rows - 1. A row that is missing, repeated or foreign changes it.

>>> audit, rows = RowAudit(), np.array([2, 0, 1])
>>> audit.record_step(RowStats(len(rows), row_hash_sum(rows), error=0.0, mistakes=0, steepest=0.0))
>>> audit.verify("epoch 1", due=all_rows(0, 3))
>>> audit.verify("epoch 1", due=all_rows(0, 4))
Traceback (most recent call last):
ddmlp.errors.TrainingError: epoch 1: 3 rows were applied, expected 4; the last checkpoint is still valid
"""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from ddmlp.errors import TrainingError
from ddmlp.plan.row_stats import RowStats, row_hash_sum

_CHUNK = 1 << 16  # rows of one part of `all_rows`


class AuditState(Struct, frozen=True):
    """The state of an audit in a checkpoint: the number of rows, and the sum of their fingerprints in hexadecimal."""

    rows: Annotated[int, Meta(ge=0, le=2**53)]
    fingerprints: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]


class RowAudit:
    """The number of rows applied in the current epoch, and the sum of their fingerprints modulo 2^64."""

    def __init__(self, rows: int = 0, fingerprints: int = 0) -> None:
        self.rows, self.fingerprints = rows, fingerprints

    def record_step(self, row_stats: RowStats) -> None:
        """Add the rows of an applied step."""
        self.rows += row_stats.rows
        self.fingerprints = (self.fingerprints + row_stats.fingerprints) % 2**64

    def verify(self, where: str, due: Iterable[NDArray[np.intp]]) -> None:
        """Check that the applied rows are those that are `due`, each exactly once.

        Parameters
        ----------
        where : str
            The part of the run, for the message.
        due : iterable of intp arrays
            The rows that should have been applied, in parts and in any order.

        Raises
        ------
        TrainingError
            If the number of rows or the sum of their fingerprints differs.
        """
        rows, sums = 0, 0
        for part in due:
            rows, sums = rows + len(part), (sums + row_hash_sum(part)) % 2**64
        if rows != self.rows:
            raise TrainingError(
                f"{where}: {self.rows:,} rows were applied, expected {rows:,}; the last checkpoint is still valid"
            )
        if sums != self.fingerprints:
            raise TrainingError(
                f"{where}: {rows:,} rows were applied, but not each row of the plan exactly once (the sum of their "
                f"fingerprints is {self.fingerprints:016x}, expected {sums:016x}); the last checkpoint is still valid"
            )

    @property
    def state(self) -> AuditState:
        """The state to store in a checkpoint."""
        return AuditState(self.rows, f"{self.fingerprints:016x}")

    @classmethod
    def from_state(cls, state: AuditState) -> "RowAudit":
        """Continue the audit of a checkpoint."""
        return cls(state.rows, int(state.fingerprints, 16))


def all_rows(begin: int, end: int) -> Iterable[NDArray[np.intp]]:
    """The rows begin, begin + 1, ... end - 1, in parts."""
    for start in range(begin, end, _CHUNK):
        yield np.arange(start, min(start + _CHUNK, end))
