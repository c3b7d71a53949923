"""The network of Ottokar Tilk's note "Simple neural network to recognize handwritten digits".

One hidden layer, no biases; the numbers in brackets are the note's equations (* is element-wise):

    z1 = x W1      y1 = 1 / (1 + e^-z1)                   (1)
    z2 = y1 W2     y2 = e^z2 / sum e^z2                   (2)
    E  = -sum t ln y2
    dE/dW2 = y1^T (y2 - t)
    dE/dy1 = (y2 - t) W2^T                                (3)
    dE/dW1 = x^T ((y2 - t) W2^T * y1 * (1 - y1))

The note has one row x; here the rows of a batch stack, and the same formulas give the sum over the rows. Much of what
is zero in x is not multiplied: see `Inputs`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.inputs import Inputs
from ddmlp.nn.memory import zeros
from ddmlp.nn.weights import Floats, Indices, Shape, Weights

FEW = 0.3  # of the inputs: where no more are live, a gradient is compact


class Network:
    """The note's formulas, computed in buffers for batches of up to `rows` rows; a step allocates no array.

    Not for two threads at once: the buffers are the network's own, and what `forward` returns is a view of them.
    """

    def __init__(self, shape: Shape, rows: int, dtype: np.dtype[Any] | type = np.float32) -> None:
        """Buffers for weights of `shape` and type `dtype` (float32 or float64)."""
        self.shape = shape
        self.rows = rows
        self._w1 = zeros((shape.inputs + 1, shape.hidden), dtype)  # live rows of W1, then those of dE/dW1
        self._sources = np.empty(shape.inputs, np.intp)
        self._count = np.arange(shape.inputs)
        self._y1 = zeros((rows, shape.hidden), dtype)
        self._d1 = zeros((rows, shape.hidden), dtype)
        self._y2 = np.empty((rows, shape.outputs), dtype)
        self._t = np.empty((rows, shape.outputs), dtype)
        self._sums = np.empty((rows, 1), dtype)
        self._e = np.empty(rows, dtype)
        self.predicted = np.empty(rows, np.intp)
        self._wrong = np.empty(rows, np.bool_)
        self._chosen = np.empty(rows, np.intp)
        self._begins = np.arange(rows) * shape.outputs  # of the rows of z2
        self._places = np.empty(rows, np.intp)
        self._one_hot = np.eye(shape.outputs, dtype=dtype)
        self._one = np.array(1, dtype)  # an array, because a number would be made one at each use
        # Differences of two z2 stay finite, so that -ln y2 does.
        most = np.finfo(dtype).max / 4
        self._z2_most, self._z2_least = np.array(most, dtype), np.array(-most, dtype)

    def forward(self, weights: Weights, inputs: Inputs) -> Floats:
        """The probabilities y2 (B, o) of the rows, a view of this network's buffer; `predicted` has the likeliest class
        of each."""
        return self._softmax(self._logits(weights, inputs))

    def score(self, weights: Weights, inputs: Inputs, labels: NDArray[np.uint8]) -> tuple[float, int]:
        """The error E summed over the rows, and how many rows are recognised wrongly.

        labels (B,) are in 0..o-1. Leaves y1, y2 and t in the buffers, for `gradients`.
        """
        rows = len(labels)
        t, e, sums = self._t[:rows], self._e[:rows], self._sums[:rows, 0]
        wrong, chosen = self._wrong[:rows], self._chosen[:rows]
        z2 = self._logits(weights, inputs)
        chosen[:] = labels  # other types of index are converted, which allocates
        np.not_equal(self.predicted[:rows], chosen, out=wrong)
        # E = -sum t ln y2 = ln sum e^z2 - z2(c): finite even where y2(c) rounds to 0.
        self._one_hot.take(chosen, axis=0, out=t, mode="clip")
        self._pick(z2, chosen, e)
        self._softmax(z2)
        np.log(sums, out=sums)
        np.subtract(sums, e, out=e)
        return float(np.add.reduce(e, dtype=np.float64)), int(np.count_nonzero(wrong))

    def gradients(self, weights: Weights, inputs: Inputs, labels: NDArray[np.uint8], out: Weights) -> tuple[float, int]:
        """dE/dW1 and dE/dW2, summed over the rows, into `out`, compact where few inputs are live; returns what `score`
        does."""
        rows, live = len(labels), inputs.live
        scored = self.score(weights, inputs, labels)
        y1, d1, y2 = self._y1[:rows], self._d1[:rows], self._y2[:rows]
        product = _product(rows)
        d2 = np.subtract(y2, self._t[:rows], out=y2)  # y2 - t: (B, o)
        product(y1.T, d2, out=out.w2)  # dE/dW2: (n, o)
        product(d2, weights.w2.T, out=d1)  # dE/dy1 (3): (B, n)
        np.multiply(d1, y1, out=d1)
        np.subtract(self._one, y1, out=y1)
        np.multiply(d1, y1, out=d1)
        many = None if live is None or len(live) <= FEW * self.shape.inputs else live
        into = out.w1 if many is None else self._w1
        for some, begin, end in inputs.blocks:
            product(inputs.x[:some, begin:end].T, d1[:some], out=into[begin:end])  # dE/dW1: (m, n)
        if many is not None:
            self._spread(many, out.w1)
        out.live = live if many is None else None
        return scored

    def _spread(self, live: Indices, out: Floats) -> None:
        """The rows of dE/dW1 from the buffer to their places, and zero into all others, in one pass."""
        count = len(live)
        self._w1[count] = 0
        self._sources.fill(count)
        self._sources[live] = self._count[:count]
        np.take(self._w1, self._sources, axis=0, out=out, mode="clip")

    def _logits(self, weights: Weights, inputs: Inputs) -> Floats:
        """(1) into the y1 buffer (B, n); z2 less each row's highest into the y2 buffer (B, o), which it returns."""
        x, live, _ = inputs
        product = _product(len(x))
        y1, z2, highest = self._y1[: len(x)], self._y2[: len(x)], self._sums[: len(x)]
        for index, (some, begin, end) in enumerate(inputs.blocks):
            w1 = weights.w1[begin:end]
            if live is not None:  # gathered block by block, so that the product finds them in the caches
                w1 = weights.w1.take(live[begin:end], axis=0, out=self._w1[: end - begin], mode="clip")
            z1 = product(x[:some, begin:end], w1, out=self._d1[:some] if index else y1)
            if index:
                np.add(y1[:some], z1, out=y1[:some])
        np.negative(y1, out=y1)
        with np.errstate(over="ignore"):  # where e^-z1 is infinite, y1 is 0, as it should be
            np.exp(y1, out=y1)
        np.add(y1, self._one, out=y1)
        np.reciprocal(y1, out=y1)
        product(y1, weights.w2, out=z2)
        np.minimum(z2, self._z2_most, out=z2)
        np.maximum(z2, self._z2_least, out=z2)
        self._pick(z2, z2.argmax(axis=1, out=self.predicted[: len(x)]), highest[:, 0])
        return np.subtract(z2, highest, out=z2)

    def _pick(self, z2: Floats, classes: Indices, out: Floats) -> None:
        """Into `out` (B,): the z2 of one class a row."""
        places = np.add(self._begins[: len(z2)], classes, out=self._places[: len(z2)])
        z2.reshape(-1).take(places, out=out, mode="clip")

    def _softmax(self, z2: Floats) -> Floats:
        """(2) in place: e^z2 / sum e^z2, the sums left in their buffer (B, 1)."""
        sums = self._sums[: len(z2)]
        np.exp(z2, out=z2)
        np.add.reduce(z2, axis=1, keepdims=True, out=sums)
        return np.divide(z2, sums, out=z2)


def _product(rows: int) -> Callable[..., Floats]:
    """The product of two matrices that is the faster one for so many rows: np.dot begins sooner, and multiplies a
    column by a row in a fraction of the time; but it clears first what it writes into, which costs more with many."""
    return np.matmul if rows > 1 else np.dot
