"""The ledger: which rows of an epoch were applied, kept apart from the plan and checked against it.

A row's fingerprint is a 64-bit hash of its number; rows are counted, and their fingerprints added up modulo 2^64. The
sum does not depend on an order, so an epoch in which every row was applied exactly once has that of 0, 1, ... rows - 1,
however the rows were shuffled; a row that is missing, doubled or foreign changes it.
"""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from ddmlp.errors import TrainingError
from ddmlp.plan.row_stats import RowStats, row_hash_sum

_CHUNK = 1 << 16  # rows whose fingerprints are computed at a time


class AuditState(Struct, frozen=True):
    """An audit as a checkpoint has it: the rows, and the sum of their fingerprints in hexadecimal."""

    rows: Annotated[int, Meta(ge=0, le=2**53)]
    fingerprints: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]


class RowAudit:
    """The rows of the current epoch that are applied."""

    def __init__(self, rows: int = 0, fingerprints: int = 0) -> None:
        self.rows, self.fingerprints = rows, fingerprints

    def record_step(self, row_stats: RowStats) -> None:
        """Enter the rows of a step that is applied."""
        self.rows += row_stats.rows
        self.fingerprints = (self.fingerprints + row_stats.fingerprints) % 2**64

    def verify(self, where: str, due: Iterable[NDArray[np.intp]]) -> None:
        """Raise TrainingError where the rows applied are not those that are `due`, each of them once."""
        rows, sums = 0, 0
        for part in due:
            rows, sums = rows + len(part), (sums + row_hash_sum(part)) % 2**64
        if rows != self.rows:
            raise TrainingError(
                f"{where}: {self.rows:,} rows were applied, expected {rows:,}; the last checkpoint stands"
            )
        if sums != self.fingerprints:
            raise TrainingError(
                f"{where}: {rows:,} rows were applied, but not those of the plan, each of them once (the sum of their "
                f"fingerprints is {self.fingerprints:016x}, expected {sums:016x}); the last checkpoint stands"
            )

    @property
    def state(self) -> AuditState:
        """What a checkpoint says of it."""
        return AuditState(self.rows, f"{self.fingerprints:016x}")

    @classmethod
    def from_state(cls, state: AuditState) -> "RowAudit":
        """The audit that goes on after a checkpoint."""
        return cls(state.rows, int(state.fingerprints, 16))


def all_rows(begin: int, end: int) -> Iterable[NDArray[np.intp]]:
    """begin, begin + 1, ... end - 1, in parts."""
    for start in range(begin, end, _CHUNK):
        yield np.arange(start, min(start + _CHUNK, end))
