"""NumPy, dense: the note's formulas as one writes them well, every pixel multiplied."""

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.weights import Floats, Weights
from ddmlp.numerics import pin
from tools.benchmarks.peers.baseline import Baseline, Rows


class Dense(Baseline):
    """All rows in memory, one after another. A peer, so nothing of ddmlp's Network is used."""

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float) -> None:
        pin()
        m, n, o = weights.shape
        self._rows, self._batch, self.rate = rows, batch, rate
        self.weights = Weights(weights.shape, weights.flat.copy())
        self._gradient = Weights(weights.shape)
        self._pixels, self._x = np.empty((batch, m), np.uint8), np.empty((batch, m), np.float32)
        self._y1, self._d1 = np.empty((2, batch, n), np.float32)
        self._y2 = np.empty((batch, o), np.float32)

    def train(self, order: NDArray[np.intp]) -> None:
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            gradient = self.gradient(self.weights, chosen)
            gradient *= np.float32(self.rate / len(chosen))
            self.weights.flat -= gradient

    def gradient(self, weights: Weights, chosen: NDArray[np.intp]) -> Floats:
        """dE/dW (m n + n o,), summed over the chosen rows; a buffer that the next call overwrites."""
        pixels, x, y1, y2, d1 = (
            buffer[: len(chosen)] for buffer in (self._pixels, self._x, self._y1, self._y2, self._d1)
        )
        np.take(self._rows.pixels, chosen, axis=0, out=pixels)
        np.multiply(pixels, np.float32(1 / 255), out=x)
        np.matmul(x, weights.w1, out=y1)
        np.negative(y1, out=y1)
        with np.errstate(over="ignore"):  # 1 / (1 + inf) is 0, as it should be
            np.exp(y1, out=y1)
        y1 += 1
        np.reciprocal(y1, out=y1)
        np.matmul(y1, weights.w2, out=y2)
        y2 -= y2.max(axis=1, keepdims=True)
        np.exp(y2, out=y2)
        y2 /= y2.sum(axis=1, keepdims=True)
        y2[np.arange(len(chosen)), self._rows.labels[chosen]] -= 1  # y2 - t
        np.matmul(y1.T, y2, out=self._gradient.w2)
        np.matmul(y2, weights.w2.T, out=d1)
        d1 *= y1
        np.subtract(1, y1, out=y1)
        d1 *= y1
        np.matmul(x.T, d1, out=self._gradient.w1)
        return self._gradient.flat
