"""NumPy, dense: the note's formulas as one writes them well, every pixel multiplied."""

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.numerics import pin
from tools.benchmarks.peers.baseline import Baseline, Rows


class DenseStep:
    """Forward and backward in buffers for up to `batch` rows. A peer, so nothing of ddmlp's Network is used."""

    def __init__(self, shape: Shape, batch: int) -> None:
        m, n, o = shape
        self._pixels = np.empty((batch, m), np.uint8)
        self._x = np.empty((batch, m), np.float32)
        self._y1, self._d1 = np.empty((2, batch, n), np.float32)
        self._y2 = np.empty((batch, o), np.float32)

    def forward(self, weights: Weights, x: Floats) -> tuple[Floats, Floats]:
        """y1 (rows, n) and y2 (rows, o) of x (rows, m), in the buffers."""
        y1, y2 = self._y1[: len(x)], self._y2[: len(x)]
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
        return y1, y2

    def gradient(self, weights: Weights, rows: Rows, chosen: NDArray[np.intp], out: Weights) -> None:
        """dE/dW, summed over the chosen rows, into `out`."""
        pixels, x, d1 = self._pixels[: len(chosen)], self._x[: len(chosen)], self._d1[: len(chosen)]
        np.take(rows.pixels, chosen, axis=0, out=pixels)
        np.multiply(pixels, np.float32(1 / 255), out=x)
        y1, y2 = self.forward(weights, x)
        y2[np.arange(len(chosen)), rows.labels[chosen]] -= 1  # y2 - t
        np.matmul(y1.T, y2, out=out.w2)
        np.matmul(y2, weights.w2.T, out=d1)
        d1 *= y1
        np.subtract(1, y1, out=y1)
        d1 *= y1
        np.matmul(x.T, d1, out=out.w1)


class Dense(Baseline):
    """All rows in memory, one after another."""

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float) -> None:
        pin()
        self._rows, self._batch, self.rate = rows, batch, rate
        self.weights = Weights(weights.shape, weights.flat.copy())
        self._gradient = Weights(weights.shape)
        self._step = DenseStep(weights.shape, batch)

    def train(self, order: NDArray[np.intp]) -> None:
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            self._step.gradient(self.weights, self._rows, chosen, self._gradient)
            self._gradient.flat *= np.float32(self.rate / len(chosen))
            self.weights.flat -= self._gradient.flat

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        x = pixels * np.float32(1 / 255)
        return DenseStep(self.weights.shape, len(x)).forward(self.weights, x)[1].astype(np.float32)
