"""Workers in this process: the seam of the trainer without Ray."""

from collections.abc import Collection

from ddmlp.nn.weights import Weights
from ddmlp.training.job import Job
from ddmlp.training.messages import Gradient
from ddmlp.training.trainer import Trainer
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.worker import Worker


class LocalWorkerPool:
    """One worker, called when its answer is asked for."""

    count = parallel = 1
    unread = (0, 0)

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._gradient = Weights(worker.shape)
        self._versions: dict[int, Weights] = {}
        self._reserved = Weights(worker.shape)
        self.answered = {0: 0}

    def reserve(self, queue: UnitQueue, keep: Collection[int] = ()) -> Weights:
        """A buffer that holds no weights that are still needed: that of the current ones, if they are not."""
        needed = queue.versions().union(keep)
        free = [version for version in self._versions if version not in needed]
        self._reserved = self._versions.pop(free[-1]) if free else Weights(self._worker.shape)
        return self._reserved

    def publish(self, version: int) -> None:
        """What stands in the reserved buffer is the current weights."""
        self._versions[version] = self._reserved

    def exchange(self, queue: UnitQueue, _seconds: float) -> Gradient:
        """Compute the next unit of the queue."""
        unit = queue.take(0)
        assert unit is not None, "no unit waits, and none is being computed"
        tally = self._worker.compute(unit, self._versions[unit.version], self._gradient)
        self.answered[0] += 1
        return Gradient(unit, self._gradient.flat, tally, worker=0, live=self._gradient.live)

    def close(self) -> None:
        """Nothing to let go of."""


def local_trainer(job: Job) -> Trainer:
    """The trainer of a job, all of it in this process."""
    return Trainer(job, lambda dataset, plan, shape: LocalWorkerPool(Worker(dataset, plan, shape)))
