"""The dense bound: only the matrix products of a step, without training."""

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.weights import Weights
from tools.benchmarks.peers.baseline import Baseline, Rows, matrices, one_blas_thread, scaled


class Bound(Baseline):
    """x W1, y1 W2, y1^T d2, d2 W2^T and x^T d1, in float32, on one batch of real, scaled rows."""

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float) -> None:
        one_blas_thread()
        self.rate = rate
        self._weights, self._out = (matrices(weights.shape, weights.values) for _ in range(2))
        self._x = scaled(rows.first(batch).pixels)
        self._y1, self._d1 = np.full((2, batch, weights.shape.hidden), 0.5, np.float32)
        self._d2 = np.full((batch, weights.shape.outputs), 0.1, np.float32)

    def train(self, order: NDArray[np.intp]) -> None:
        """Compute the products once per step of these rows."""
        x, y1, d1, d2 = self._x, self._y1, self._d1, self._d2
        (w1, w2), (slopes1, slopes2) = self._weights, self._out
        for _ in range(0, len(order), len(x)):
            np.matmul(x, w1, out=y1)
            np.matmul(y1, w2, out=d2)
            np.matmul(y1.T, d2, out=slopes2)
            np.matmul(d2, w2.T, out=d1)
            np.matmul(x.T, d1, out=slopes1)
