"""The interface between the step loop and the workers, wherever they are."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from ddmlp.nn.weights import Weights
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.weight_store import WeightStore

EXITED, REJECTED, UNRESPONSIVE = "exited", "rejected", "unresponsive"  # why a worker was lost


@dataclass(frozen=True)
class LostWorker:
    """A worker that a pool has lost or rejected.

    host: the name of its machine; cause: EXITED, its connection has ended; REJECTED, it cannot compute this run there,
    and another worker on that host could not either; UNRESPONSIVE, it has not answered for long; reason: in words.
    """

    worker: int
    host: str
    cause: str
    reason: str

    def __str__(self) -> str:
        return f"worker {self.worker} on {self.host or 'an unknown host'} {self.cause}: {self.reason}"


@dataclass(frozen=True)
class PoolStats:
    """What a pool has counted."""

    workers: int  # there are now
    depth: int = 0  # units submitted and not yet answered
    high_water: int = 0  # the largest depth so far
    unread: int = 0  # workers whose answer lay unread at the last look
    unread_high_water: int = 0
    reissued: int = 0  # units given to a second worker because the first was overdue
    compared: int = 0  # second answers that were compared with the first, and agreed
    waited: float = 0.0  # seconds that workers waited for the units that they have answered
    answered: dict[int, int] = field(default_factory=dict)  # units, by worker
    overdue: int = 0  # workers that are slow now: others do their units
    lost: int = 0  # workers, so far
    newest_lost: list[LostWorker] = field(default_factory=list)  # of them, in order, as many as are remembered


class WorkerPool(Protocol):
    """Computes units. It owns the queue of units, which is bounded, and the versions of the weights."""

    weights: WeightStore

    @property
    def count(self) -> int:
        """How many workers there are."""

    @property
    def parallel(self) -> int:
        """How many of them can compute at a time, without those that are overdue, or rest because they were."""

    @property
    def full(self) -> bool:
        """Whether the queue is full: a result must be taken before the next unit is submitted."""

    @property
    def stats(self) -> PoolStats:
        """What was counted so far."""

    def submit(self, unit: Unit) -> None:
        """Have a unit computed. The queue must not be full, and the weights that the unit reads must be published."""

    def next_result(self, timeout: float) -> Gradient | None:
        """The next unit's gradient, whichever that is; None if none arrives within `timeout` seconds.

        Each unit is answered once. The gradient's buffer is the caller's until the next call.
        """

    def reserve_weights(self, keep: Collection[int]) -> Weights:
        """A buffer for the next version: no worker reads it, nor does it hold one of the versions to `keep`."""

    def publish_weights(self, version: int) -> None:
        """Let the workers read the reserved buffer as the weights of `version`."""

    def close(self) -> None:
        """Release the workers."""
