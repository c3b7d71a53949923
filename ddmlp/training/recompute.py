"""A recomputation: steps of a run, done again in this process to see what they must have come to."""

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Weights
from ddmlp.plan.plan import Plan, Update
from ddmlp.plan.reduction_tree import Node
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.job import Job
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.worker import Worker


class Recomputation:
    """One worker and one server without a queue between: no other way to the weights is shorter."""

    def __init__(self, job: Job, dataset: Dataset, start: Checkpoint, updates: NDArray[np.int64] | None = None) -> None:
        """Go on from `start`, whose weights are not changed. updates: the order of updates from the run's begin on
        (see UpdateLog), where it is not the plan's."""
        self.plan, shape = job.plan(dataset.manifest), start.weights.shape
        self._config, self._updates = job.config, updates
        self._optimizer = SGD(job.config, start.state)
        self._worker = Worker(dataset, self.plan, shape)
        self._server = ParameterServer(
            self._optimizer, start.step, Weights(shape, start.weights.flat.copy()), bound=np.inf
        )
        self._versions = dict(enumerate([*start.earlier, self._server.weights], start.step - len(start.earlier)))
        self._last_read = None if updates is None else _last_read(updates)
        self._gradient = Weights(shape)
        self.staleness: Counter[int] = Counter()  # of the updates done again

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._server.version

    @property
    def weights(self) -> Weights:
        return self._server.weights

    def advance(self) -> None:
        """Compute and apply the next update. Raises TrainingError where the weights would not be finite."""
        version, server = self.step, self._server
        step, read = self._update(version)
        unit = Unit(step, read, Node(0, self.plan.microbatches(step)))
        row_stats = self._worker.compute(unit, self._versions[read], self._gradient)
        server.begin_step(step, read, unit.microbatches)
        server.receive(Gradient(unit, self._gradient.flat, row_stats, worker=0, live=self._gradient.live))
        step_size = self._optimizer.step_size(version, self.plan.steps, version - read)
        with np.errstate(all="ignore"):  # the server looks whether the sums are finite
            server.apply_step(step, step_size, self._free(version))
        self._versions[version + 1] = server.weights
        self.staleness[version - read] += 1

    def _update(self, version: int) -> Update:
        """The update of `version`."""
        if self._updates is None:
            return Update(version, max(0, version - self._config.delay))
        return Update(*self._updates[version].tolist())

    def _free(self, version: int) -> Weights:
        """A buffer of weights that no later update reads, or a new one."""
        for old in self._versions:
            last = old + self._config.delay if self._last_read is None else self._last_read[old]
            if last <= version:
                return self._versions.pop(old)
        return Weights(self._server.weights.shape)


def _last_read(updates: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each version, at which version it is read for the last time; -1 for one that is not."""
    last = np.full(len(updates) + 1, -1)
    np.maximum.at(last, updates[:, 1], np.arange(len(updates)))
    return last


def find_nonfinite_microbatch(dataset: Dataset, plan: Plan, update: Update, weights: Weights) -> str:
    """Which microbatch has a gradient that is not finite, in words; weights: those that the step has read."""
    worker, gradient = Worker(dataset, plan, weights.shape), Weights(weights.shape)
    with np.errstate(all="ignore"):
        for index in range(plan.microbatches(update.step)):
            row_stats = worker.compute(Unit(*update, Node(index, index + 1)), weights, gradient)
            gradient.expand()
            if not (math.isfinite(row_stats.error) and np.isfinite(gradient.flat).all()):
                return f"the gradient of microbatch {index} is not finite; a smaller --lr may help"
    return (
        "computed again, its microbatches have finite gradients: so their sum or the update is too large, and a "
        "smaller --lr may help, or a worker has computed wrongly"
    )
