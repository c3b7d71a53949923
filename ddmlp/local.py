"""Workers in this process: the seam of the trainer without Ray."""

import numpy as np

from ddmlp.job import Job
from ddmlp.network import Floats, Weights
from ddmlp.queues import Gradient, UnitQueue
from ddmlp.trainer import Trainer
from ddmlp.worker import Worker


class LocalWorkers:
    """One worker, called when its answer is asked for."""

    count = 1

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._gradient = Weights(worker.shape)
        self._ring = [Weights(worker.shape) for _ in range(2)]
        self.buffers: list[Floats] = [weights.flat for weights in self._ring]

    def publish(self, version: int) -> None:
        """The weights of `version` are in their buffer. Nobody else has to be told."""

    def exchange(self, queue: UnitQueue) -> Gradient:
        """Compute the next unit of the queue."""
        unit = queue.take(0)
        assert unit is not None, "no unit waits, and none is being computed"
        with np.errstate(all="ignore"):  # the server looks whether the sums are finite
            error, mistakes = self._worker.compute(unit, self._ring[unit.version % 2], self._gradient)
        return Gradient(unit, self._gradient.flat, error, mistakes, worker=0)

    def close(self) -> None:
        """Nothing to let go of."""


def local_trainer(job: Job) -> Trainer:
    """The trainer of a job, all of it in this process."""
    return Trainer(job, lambda dataset, plan, shape: LocalWorkers(Worker(dataset, plan, shape)))
