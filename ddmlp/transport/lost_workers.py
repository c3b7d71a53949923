"""The workers that a pool has lost, and whether a failed unit is the fault of the run or of a host."""

from collections import deque

from ddmlp.errors import DatasetError, DdmlpError, TrainingError
from ddmlp.training.messages import Unit
from ddmlp.training.worker_pool import LostWorker, name_of

REMEMBERED = 1000  # lost workers that are kept, the newest ones
NAMED = 3  # of them in an error


class LostWorkers:
    """Counts all of them, and keeps the newest."""

    def __init__(self) -> None:
        self.count = 0
        self._newest: deque[LostWorker] = deque(maxlen=REMEMBERED)
        self._failed_on: dict[Unit, str] = {}  # the host of the worker that could not compute an open unit

    @property
    def newest(self) -> list[LostWorker]:
        """The newest ones, in the order in which they were lost."""
        return [*self._newest]

    def add(self, worker: int, host: str, cause: str, reason: str) -> None:
        """Record a lost worker."""
        self.count += 1
        self._newest.append(LostWorker(worker, host, cause, reason))

    def check_failure(self, unit: Unit | None, worker: int, host: str, error: DdmlpError, *, beside: bool) -> None:
        """Raise the error of a worker that could not compute a unit if the run is at fault, not the worker's host.

        That is so if a worker on another host has failed with the same unit: no host can compute it. It is also so if
        the data are wrong and the worker is `beside` the server, because the two read the same data; and if two workers
        of a relay have computed different gradients.
        """
        first = host if unit is None else self._failed_on.setdefault(unit, host)
        if first != host or (beside and isinstance(error, DatasetError)) or isinstance(error, TrainingError):
            raise type(error)(f"{name_of(worker)} on {host}: {error}")

    def answered(self, unit: Unit) -> None:
        """Record that a unit was computed: an earlier failure with it was the fault of a host."""
        self._failed_on.pop(unit, None)

    def __str__(self) -> str:
        """The newest ones and the reasons, to append to a message; empty if there are none."""
        return "".join(f"; {lost}" for lost in self.newest[-NAMED:])
