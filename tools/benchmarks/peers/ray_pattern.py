"""Ray's documented parameter-server pattern, written from its description.

The driver requests a gradient at the current weights from every worker, passes the references to the server, and gets a
reference to the next weights.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.ray_backend.choice import choose
from ddmlp.ray_backend.cluster import connect
from tools.benchmarks.peers.baseline import Baseline, Rows, chunks
from tools.benchmarks.peers.dense import Dense

WORKERS = 2
WAIT_STEPS = 10  # steps between waits for the weights, as in Ray's example; bounds how far the driver runs ahead


class ParameterServer:
    """Owns the weights, a flat vector, and applies the sum of the workers' gradients."""

    def __init__(self, weights: Floats, rate: float, batch: int) -> None:
        self.weights, self._factor = weights.copy(), np.float32(rate / batch)

    def apply_gradients(self, *gradients: Floats) -> Floats:
        total = gradients[0].copy()
        for gradient in gradients[1:]:
            total += gradient
        total *= self._factor
        self.weights -= total
        return self.weights


class DataWorker:
    """Computes gradients on its share of each step's rows, in an order that it draws itself."""

    def __init__(self, rows: Rows, shape: Shape, each: int, rank: int) -> None:
        self._dense = Dense(rows, Weights(shape), each, 0.0)
        orders = chunks(len(rows.labels), WORKERS * each)
        self._chosen = (part[rank] for order in orders for part in order.reshape(-1, WORKERS, each))

    def compute_gradients(self, weights: Floats) -> Floats:
        """Return dE/dW (m n + n o,), summed over the rows of the next step."""
        return self._dense.gradient(weights, next(self._chosen))


class RayPattern(Baseline):
    """The driver, with a local Ray cluster; `server` and `workers` are actors, `weights` is a reference."""

    Worker: type = DataWorker

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float) -> None:
        self._cluster = connect(choose("local"))
        self.ray: Any = self._cluster.ray
        actor, shared, each = self.ray.remote(num_cpus=0), self.ray.put(rows), batch // WORKERS
        self.rate, self._batch = rate, batch
        self.server = actor(ParameterServer).remote(weights.values, rate, batch)
        self.workers = [actor(self.Worker).remote(shared, weights.shape, each, rank) for rank in range(WORKERS)]
        self.weights = self.ray.put(weights.values)

    def train(self, order: NDArray[np.intp]) -> None:
        """Train on these rows, in steps of `batch` rows."""
        for step in range(1, len(order) // self._batch + 1):
            gradients = [worker.compute_gradients.remote(self.weights) for worker in self.workers]
            self.weights = self.server.apply_gradients.remote(*gradients)
            if step % WAIT_STEPS == 0:
                self.ray.get(self.weights)
        self.ray.get(self.weights)

    def close(self) -> None:
        self._cluster.leave()
