"""Dense NumPy: the note's formulas in efficient NumPy, with all pixels multiplied."""

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.weights import Floats, Weights
from tools.benchmarks.peers.baseline import Baseline, Rows, matrices, one_blas_thread


class Dense(Baseline):
    """Keeps all rows in memory. It is a peer, so it uses nothing of ddmlp's Network."""

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float) -> None:
        one_blas_thread()
        m, n, o = weights.shape
        self._rows, self._batch, self.rate = rows, batch, rate
        self._shape, self._values = weights.shape, weights.values
        self._gradient = np.empty_like(self._values)
        self._pixels, self._x = np.empty((batch, m), np.uint8), np.empty((batch, m), np.float32)
        self._y1, self._d1 = np.empty((2, batch, n), np.float32)
        self._y2 = np.empty((batch, o), np.float32)

    @property
    def weights(self) -> Weights:
        return Weights.from_values(self._shape, self._values)

    def train(self, order: NDArray[np.intp]) -> None:
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            gradient = self.gradient(self._values, chosen)
            gradient *= np.float32(self.rate / len(chosen))
            self._values -= gradient

    def gradient(self, values: Floats, chosen: NDArray[np.intp]) -> Floats:
        """Return dE/dW, summed over the chosen rows; it and the weights `values` are (m n + n o,).

        The next call overwrites the result.
        """
        (w1, w2), (slopes1, slopes2) = (matrices(self._shape, each) for each in (values, self._gradient))
        pixels, x, y1, y2, d1 = (
            buffer[: len(chosen)] for buffer in (self._pixels, self._x, self._y1, self._y2, self._d1)
        )
        np.take(self._rows.pixels, chosen, axis=0, out=pixels)
        np.multiply(pixels, np.float32(1 / 255), out=x)
        np.matmul(x, w1, out=y1)
        np.negative(y1, out=y1)
        with np.errstate(over="ignore"):  # 1 / (1 + inf) is 0, which is right
            np.exp(y1, out=y1)
        y1 += 1
        np.reciprocal(y1, out=y1)
        np.matmul(y1, w2, out=y2)
        y2 -= y2.max(axis=1, keepdims=True)
        np.exp(y2, out=y2)
        y2 /= y2.sum(axis=1, keepdims=True)
        y2[np.arange(len(chosen)), self._rows.labels[chosen]] -= 1  # y2 - t
        np.matmul(y1.T, y2, out=slopes2)
        np.matmul(y2, w2.T, out=d1)
        d1 *= y1
        np.subtract(1, y1, out=y1)
        d1 *= y1
        np.matmul(x.T, d1, out=slopes1)
        return self._gradient
