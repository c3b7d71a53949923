"""A worker pool in this process, to test the step loop without other processes."""

from collections import deque
from collections.abc import Collection

from ddmlp.nn.weights import Floats, Weights
from ddmlp.training.messages import CREDITS, Gradient, Unit
from ddmlp.training.trace import Trace
from ddmlp.training.weight_store import WeightStore
from ddmlp.training.worker import Worker
from ddmlp.training.worker_pool import PoolStats

CAPACITY = 2 * CREDITS


class LocalWorkerPool:
    """One worker, which computes the next unit when its result is asked for."""

    connections, capacities = 1, (1,)

    def __init__(self, worker: Worker) -> None:
        self.weights = WeightStore(worker.shape)
        self._worker = worker
        self._units: deque[Unit] = deque()
        self._gradient = Weights(worker.shape)
        self._answered = self._high_water = 0

    @property
    def full(self) -> bool:
        """Whether the queue is full."""
        return len(self._units) >= CAPACITY

    @property
    def stats(self) -> PoolStats:
        """The statistics so far."""
        return PoolStats(1, len(self._units), self._high_water, answered={0: self._answered})

    def submit(self, unit: Unit) -> None:
        """Put a unit into the queue."""
        self._units.append(unit)
        self._high_water = max(self._high_water, len(self._units))

    def next_result(self, timeout: float = 0.0) -> Gradient:  # noqa: ARG002  # never waits
        """Compute the next unit of the queue, which must not be empty. Raises the errors of `Worker.compute`."""
        unit = self._units.popleft()
        stats = self._worker.compute(unit, self.weights[unit.version], self._gradient)
        self._answered += 1
        return Gradient(unit, self._gradient.flat, stats, worker=0)

    def reserve_weights(self, keep: Collection[int]) -> Weights:
        """Return a buffer for the next version that no unit in the queue reads."""
        weights = self.weights.reserve({*keep, *(unit.version for unit in self._units)})
        assert weights is not None, "this store creates buffers on demand"
        return weights

    def publish_weights(self, version: int) -> None:
        """Publish the reserved buffer as the weights of `version`."""
        self.weights.publish(version)

    def note_update(self, left: Floats, right: Floats, step_size: float) -> None:
        """Ignore it: the worker reads the weights."""

    def observe(self, trace: Trace) -> None:
        """Ignore it: there is no queue."""

    def close(self) -> None:
        """Do nothing: there are no resources."""
