"""The network of Ottokar Tilk's note "Simple neural network to recognize handwritten digits".

It has one hidden layer and no biases. `reference` has its formulas, and `kernels` computes them; this module has the
buffers and the calls.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.explanation import explain
from ddmlp.nn.kernels import Scratch, Sizes
from ddmlp.nn.sparse import FULL, ROWS
from ddmlp.nn.steps import Stats, recognise, train_steps
from ddmlp.nn.weights import LANES, Floats, Shape, Weights, zeros

Bytes = NDArray[np.uint8]
Addresses = NDArray[np.intp]
Rows = Bytes | Addresses


class Recognised(NamedTuple):
    """What a network makes of B rows.

    Parameters
    ----------
    probabilities : (B, o) float32
        y2 of each row.
    predicted : (B,) intp
        The most probable class of each row; the first one of equals.
    error : float
        The cross-entropy E of the given labels, summed over the rows.
    """

    probabilities: Floats
    predicted: NDArray[np.intp]
    error: float


class Steps(NamedTuple):
    """Steps that one call makes.

    Parameters
    ----------
    rows : (rows, m) uint8, or (rows,) intp
        The pixels of the rows; or the addresses of each row's m bytes, which are not checked.
    labels : (rows,) uint8
        The class of each row, below the number of outputs.
    bounds : (steps + 1,) intp
        The first row of each step, and at the end the number of rows.
    rates : (steps,) float32
        alpha / B of each step.
    slots : (steps, 3) intp
        Places in a stack of weights: of the version that a step reads, of the version that it changes, and of the
        result.
    """

    rows: Rows
    labels: Bytes
    bounds: NDArray[np.intp]
    rates: Floats
    slots: NDArray[np.intp]


class Network:
    """Computes the network's formulas for weights of one shape, in its own buffers.

    Two threads must not use one network at the same time.

    Parameters
    ----------
    shape : Shape
        The shape of the weights.
    microbatch : int
        Rows of a microbatch; the last one of a step may have fewer.
    microbatches : int
        The largest number of microbatches of a step or a unit. This is not checked.
    bits : int
        Bits that the gradient of each microbatch is rounded to, 4 to 16; 0: it is not rounded. See `rounding`.

    Examples
    --------
    >>> network, weights = Network(Shape(4, 2, 3)), Weights.draw(Shape(4, 2, 3), seed=0)
    >>> pixels = np.array([[0, 255, 0, 128], [255, 0, 0, 0]], np.uint8)
    >>> network.recognise(weights, pixels).predicted
    array([1, 1])
    """

    def __init__(self, shape: Shape, microbatch: int = 1, microbatches: int = 1, bits: int = 0) -> None:
        m, n, o = shape
        padded = -(-o // LANES) * LANES
        rows = max(microbatch, ROWS)
        self._sizes = Sizes(m, n, o, shape.width, padded)
        self._microbatch, self._bits = microbatch, bits
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
        """Classify rows.

        Parameters
        ----------
        weights : Weights
            The weights of the network.
        pixels : (B, m) uint8
            The rows.
        labels : (B,) uint8, optional
            The classes that the error E is computed for; without them, class 0 of each row.

        Raises
        ------
        ValueError
            If pixels and labels do not fit each other, or the network.
        """
        count = len(pixels)
        found = np.empty((count, self._sizes.o), np.float32), np.empty(count, np.intp)
        labels = np.zeros(count, np.uint8) if labels is None else labels
        addresses, _kept = _addresses(self._sizes, pixels, labels)
        error = recognise(self._sizes, addresses, labels, weights.flat, self._scratch, found[0].reshape(-1), found[1])
        return Recognised(*found, error)

    def explain(self, weights: Weights, pixels: Bytes, classes: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """Compute what the output of a class depends on, for each row; see `explanation`.

        Parameters
        ----------
        weights : Weights
            The weights of the network.
        pixels : (B, m) uint8
            The rows.
        classes : (B,) intp
            The class of each row whose output is explained, 0 or more.

        Returns
        -------
        tuple of (Floats, Floats, Floats)
            y1 (B, n), the contributions of the hidden units (B, n), and the saliency of the pixels (B, m), float32.

        Raises
        ------
        ValueError
            If pixels and classes do not fit each other, or the network.
        """
        shape = len(pixels), self._sizes.width
        hidden, contributions, saliency = (np.empty(each, np.float32) for each in (shape, shape, pixels.shape))
        _addresses(self._sizes, pixels, classes)  # checks both
        for begin in range(0, len(pixels), ROWS):
            rows = slice(begin, begin + ROWS)
            self.recognise(weights, pixels[rows])
            hidden[rows] = self._scratch.y1.reshape(-1, shape[1])[: len(pixels[rows])]
            explain(self._sizes, classes[rows], weights.flat, self._scratch,
                    contributions[rows].reshape(-1), saliency[rows].reshape(-1))  # fmt: skip
        return hidden[:, : self._sizes.n], contributions[:, : self._sizes.n], saliency

    def gradient(self, weights: Weights, rows: Rows, labels: Bytes, out: Weights) -> tuple[float, int, float]:
        """Compute the gradient of a unit, dE/dW1 and dE/dW2 summed over its rows, into `out`.

        Parameters
        ----------
        weights : Weights
            The version of the weights to compute with.
        rows : (B, m) uint8, or (B,) intp
            Pixels or their addresses, as in `Steps`: microbatches that form a node of a step's reduction tree.
        labels : (B,) uint8
            The class of each row.
        out : Weights
            Receives the gradient.

        Returns
        -------
        tuple of (float, int, float)
            The error E summed over the rows, the number of misclassified rows, and the largest |d1|.

        Raises
        ------
        ValueError
            If rows and labels do not fit each other, or the network.
        """
        steps = Steps(rows, labels, np.array([0, len(labels)]), _NO_RATE, _FIRST)
        stats, _ = self._train(steps, weights.flat.reshape(1, -1), out.flat, update=False)
        return float(stats.errors[0]), int(stats.mistakes[0]), float(stats.steepest[0])

    def train(self, steps: Steps, stack: Floats) -> tuple[Stats, int]:
        """Make steps.

        Parameters
        ----------
        steps : Steps
            The rows, labels and step sizes.
        stack : (versions, shape.size) float32
            The versions of the weights that the steps read, change and write.

        Returns
        -------
        tuple of (Stats, int)
            The statistics of each step, and the number of steps made: fewer than asked for if the next one would leave
            weights that are not finite.

        Raises
        ------
        ValueError
            If rows and labels do not fit each other, or the network.
        """
        return self._train(steps, stack, self._gradient, update=True)

    def _train(self, steps: Steps, stack: Floats, gradient: Floats, *, update: bool) -> tuple[Stats, int]:
        count = len(steps.rates)
        stats = Stats(np.empty(count), np.empty(count, np.intp), np.empty(count, np.float32), self._tree)
        addresses, _kept = _addresses(self._sizes, steps.rows, steps.labels)
        done = train_steps(
            self._sizes, addresses, steps.labels, steps.bounds, self._microbatch, self._bits, steps.rates, stack,
            steps.slots, update, self._scratch, gradient, self._spare, stats,
        )  # fmt: skip
        return stats, done


_NO_RATE, _FIRST = np.zeros(1, np.float32), np.zeros((1, 3), np.intp)


def _addresses(sizes: Sizes, rows: Rows, labels: Bytes | NDArray[np.intp]) -> tuple[Addresses, object]:
    """The addresses of rows, and the array that must be kept alive until they are read.

    Raises ValueError if rows and labels do not fit each other or the network: the kernels check nothing.
    """
    if rows.shape != (expected := (len(labels),) if rows.dtype == np.intp else (len(labels), sizes.m)):
        raise ValueError(f"rows have the shape {rows.shape}, expected {expected}")
    if len(labels) and (label := int(labels.max())) >= sizes.o:
        raise ValueError(f"a label is {label}, expected 0 to {sizes.o - 1}")
    if rows.dtype == np.intp:
        return np.ascontiguousarray(rows, np.intp), rows
    kept = np.ascontiguousarray(rows, np.uint8)
    return kept.ctypes.data + sizes.m * np.arange(len(kept)), kept
