"""The network of Ottokar Tilk's note "Simple neural network to recognize handwritten digits".

One hidden layer, no biases. `reference` has its formulas; `kernels` computes them; here are the buffers and the calls.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.kernels import Scratch, Sizes
from ddmlp.nn.sparse import FULL, ROWS
from ddmlp.nn.steps import Stats, recognise, train_steps
from ddmlp.nn.weights import LANES, Floats, Shape, Weights, zeros

Bytes = NDArray[np.uint8]
Addresses = NDArray[np.intp]
Rows = Bytes | Addresses


class Recognised(NamedTuple):
    """probabilities (B, o) float32; predicted (B,): the likeliest class of each row, of equal ones the first; error: E
    summed over the rows."""

    probabilities: Floats
    predicted: NDArray[np.intp]
    error: float


class Steps(NamedTuple):
    """Steps to be made in one call.

    Parameters
    ----------
    rows : (rows, m) uint8, or (rows,)
        Their pixels; or the addresses of these, which are not checked.
    labels : (rows,) uint8
        Less than the number of outputs; otherwise ValueError is raised.
    bounds : (steps + 1,)
        Where the rows of each step begin, and where the last ones end.
    rates : (steps,) float32
        alpha / B of each step.
    slots : (steps, 3)
        Where, in a stack of weights, lie the version that a step reads, the one that it changes, and the result.
    """

    rows: Rows
    labels: Bytes
    bounds: NDArray[np.intp]
    rates: Floats
    slots: NDArray[np.intp]


class Network:
    """The network's formulas for weights of one shape, and the buffers to compute them in.

    Not for two threads at once.
    """

    def __init__(self, shape: Shape, microbatch: int = 1, microbatches: int = 1) -> None:
        """microbatch: rows of one, the last of a step may have fewer; microbatches: the most of a step or a unit, which
        is not checked."""
        m, n, o = shape
        padded = -(-o // LANES) * LANES
        rows = max(microbatch, ROWS)
        self._sizes = Sizes(m, n, o, shape.width, padded)
        self._microbatch = microbatch
        self._scratch = Scratch(
            row_starts=np.empty(ROWS * -(-m // FULL) + 1, np.intp),
            row_entries=np.empty(ROWS * m + 1, np.uint32),
            pixel_starts=np.empty(-(-rows // ROWS) * m + 1, np.intp),
            pixel_entries=np.empty(rows * m, np.uint32),
            live=np.empty(m, np.intp),
            partial=zeros(m * LANES),
            y1=zeros(rows * shape.width),
            d1=zeros(rows * shape.width),
            d2=zeros(rows * padded),
            predicted=np.empty(rows, np.intp),
        )
        levels = microbatches.bit_length()
        self._spare = zeros(levels * shape.size).reshape(levels, shape.size)
        self._gradient = zeros(shape.size)
        self._tree = np.empty(levels + 1)

    def recognise(self, weights: Weights, pixels: Bytes, labels: Bytes | None = None) -> Recognised:
        """What rows of pixels (B, m) are taken for; the error is that of these labels (B,)."""
        count = len(pixels)
        found = np.empty((count, self._sizes.o), np.float32), np.empty(count, np.intp)
        labels = np.zeros(count, np.uint8) if labels is None else labels
        addresses, _kept = _addresses(self._sizes, pixels, labels)
        error = recognise(self._sizes, addresses, labels, weights.flat, self._scratch, found[0].reshape(-1), found[1])
        return Recognised(*found, error)

    def gradient(self, weights: Weights, rows: Rows, labels: Bytes, out: Weights) -> tuple[float, int, float]:
        """dE/dW1 and dE/dW2 of rows (see `Steps`), which are some microbatches of a step and a node of its reduction
        tree, into `out`.

        Returns the error E summed over the rows, how many are recognised wrongly, and the largest |d1| of a row.
        """
        steps = Steps(rows, labels, np.array([0, len(labels)]), _NO_RATE, _FIRST)
        stats, _ = self._train(steps, weights.flat.reshape(1, -1), out.flat, update=False)
        return float(stats.errors[0]), int(stats.mistakes[0]), float(stats.steepest[0])

    def train(self, steps: Steps, stack: Floats) -> tuple[Stats, int]:
        """Make steps; stack (versions, shape.size): the versions of the weights that they read, change and write.

        Returns what is counted of each step, and how many were made: fewer if the next one would leave weights that are
        not finite.
        """
        return self._train(steps, stack, self._gradient, update=True)

    def _train(self, steps: Steps, stack: Floats, gradient: Floats, *, update: bool) -> tuple[Stats, int]:
        count = len(steps.rates)
        stats = Stats(np.empty(count), np.empty(count, np.intp), np.empty(count, np.float32), self._tree)
        addresses, _kept = _addresses(self._sizes, steps.rows, steps.labels)
        done = train_steps(
            self._sizes, addresses, steps.labels, steps.bounds, self._microbatch, steps.rates, stack, steps.slots,
            update, self._scratch, gradient, self._spare, stats,
        )  # fmt: skip
        return stats, done


_NO_RATE, _FIRST = np.zeros(1, np.float32), np.zeros((1, 3), np.intp)


def _addresses(sizes: Sizes, rows: Rows, labels: Bytes) -> tuple[Addresses, object]:
    """The addresses of rows, and what must be kept until they are read. A kernel checks nothing, so here ValueError is
    raised if rows and labels do not fit."""
    if rows.shape != (expected := (len(labels),) if rows.dtype == np.intp else (len(labels), sizes.m)):
        raise ValueError(f"rows of shape {rows.shape}, expected {expected}")
    if len(labels) and (label := int(labels.max())) >= sizes.o:
        raise ValueError(f"a label is {label}, expected 0 to {sizes.o - 1}")
    if rows.dtype == np.intp:
        return np.ascontiguousarray(rows, np.intp), rows
    kept = np.ascontiguousarray(rows, np.uint8)
    return kept.ctypes.data + sizes.m * np.arange(len(kept)), kept
