"""The interface between the step loop and the workers, wherever these are."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ddmlp.nn.weights import Floats, Weights
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.weight_store import WeightStore

if TYPE_CHECKING:  # it imports this module
    from ddmlp.training.trace import Trace

EXITED, REJECTED, UNRESPONSIVE = "exited", "rejected", "unresponsive"  # why a worker was lost


COORDINATOR = -1  # its number, in the place of a worker's, at a server of a slice; smaller ones are those of relays


def relay_number(index: int) -> int:
    """The number of a relay in the place of a worker's; index: 0 for the first relay."""
    return COORDINATOR - 1 - index


def name_of(worker: int) -> str:
    """The name of a worker, a relay or the coordinator in words."""
    if worker >= 0:
        return f"worker {worker}"
    return "the coordinator" if worker == COORDINATOR else f"relay {relay_number(worker)}"


@dataclass(frozen=True)
class LostWorker:
    """A worker that a pool has lost or rejected.

    Parameters
    ----------
    worker : int
        The worker.
    host : str
        The name of its machine.
    cause : {EXITED, REJECTED, UNRESPONSIVE}
        EXITED: its connection ended. REJECTED: it cannot compute this run on that host, nor could another worker.
        UNRESPONSIVE: it did not answer in time.
    reason : str
        A description of the cause.
    """

    worker: int
    host: str
    cause: str
    reason: str

    def __str__(self) -> str:
        return f"{name_of(self.worker)} on {self.host or 'an unknown host'} {self.cause}: {self.reason}"


@dataclass(frozen=True)
class PoolStats:
    """The counts of a pool."""

    workers: int  # connected now
    depth: int = 0  # units submitted and not yet answered
    high_water: int = 0  # the largest depth so far
    unread: int = 0  # workers with an unread answer at the last check
    unread_high_water: int = 0  # the largest `unread` so far
    reissued: int = 0  # units given to a second worker because the first one was overdue
    compared: int = 0  # second answers that were compared with the first one, and agreed
    waited: float = 0.0  # seconds that workers were idle before the units that they have answered
    answered: dict[int, int] = field(default_factory=dict)  # the number of answered units, by worker
    overdue: int = 0  # workers that are overdue now: others compute their units
    lost: int = 0  # workers lost so far
    newest_lost: list[LostWorker] = field(default_factory=list)  # the last of them, in order, up to a limit
    clock: float = 0.0  # seconds for which the pool has waited for messages

    @property
    def hung(self) -> list[int]:
        """The workers that were lost because they do not answer: their processes may still be alive."""
        return [each.worker for each in self.newest_lost if each.cause == UNRESPONSIVE]


class WorkerPool(Protocol):
    """Computes units. It owns the bounded queue of units, and the versions of the weights."""

    weights: WeightStore

    @property
    def connections(self) -> int:
        """The number of connections: each computes a unit at a time, by one worker, or by the workers of a relay."""

    @property
    def capacities(self) -> tuple[int, ...]:
        """The numbers of workers behind the connections that get units, in descending order: without workers that are
        overdue or resting."""

    @property
    def full(self) -> bool:
        """Whether the queue is full. Then a result must be taken before the next unit is submitted."""

    @property
    def stats(self) -> PoolStats:
        """The counts so far."""

    def submit(self, unit: Unit) -> None:
        """Queue a unit for a worker. The queue must not be full, and the unit's version must be published."""

    def next_result(self, timeout: float) -> Gradient | None:
        """The next gradient to arrive, of any unit; None if none arrives within `timeout` seconds.

        Each unit is answered once. The gradient's buffer is valid until the next call.
        """

    def reserve_weights(self, keep: Collection[int]) -> Weights:
        """Reserve a buffer for the next version: no worker reads it, and it holds none of the versions to `keep`."""

    def publish_weights(self, version: int) -> None:
        """Let workers read the reserved buffer as the weights of `version`."""

    def note_update(self, left: Floats, right: Floats, step_size: float) -> None:
        """The next version to be published is made by this update; see `SGD.update`. The arrays may change later.

        A worker that has the version before can make the next one itself.
        """

    def observe(self, trace: "Trace") -> None:
        """Have a trace record the units and the workers."""

    def close(self) -> None:
        """Release the workers."""
