"""The inputs: pixels as the network takes them, without much of what is zero."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.memory import zeros
from ddmlp.nn.weights import Floats, Indices, Shape

MAX_LIVE = 0.9  # of all: where more is not zero, leaving out the rest costs more than multiplying by zero
# A staircase has so many treads at most; each has so many rows at least, because BLAS is slow with fewer, and so many
# times as its hidden units that what it saves is more than what it costs to arrange it.
TREADS, TREAD_ROWS, TREAD_WORK = 4, 16, 12_000
COUNTED = 255  # rows, at most, in which the ink of columns is counted: the most that a uint8 holds

Pixels = NDArray[np.uint8]


class Inputs(NamedTuple):
    """The rows x (B, k) of a batch, 0..1, with k of the m inputs as columns.

    live: which these are (k,); all others are zero in every row. None: they are all there, in their order.
    treads: x as a staircase. Behind the first `rows` of (rows, begin, end), all is zero in the columns from begin to
    end; these follow each other, and end with k. None: nothing is known to be zero.
    """

    x: Floats
    live: Indices | None = None
    treads: Sequence[tuple[int, int, int]] | None = None

    @property
    def blocks(self) -> Sequence[tuple[int, int, int]]:
        """The treads; where there are none, x as one."""
        return self.treads or [(len(self.x), 0, self.x.shape[1])]


class Loader:
    """Loads pixels into buffers for batches of up to `rows` rows, for a network. Not for two threads at once.

    What is left out follows from the pixels alone, so a batch has the same bits wherever it is computed.
    """

    def __init__(self, shape: Shape, rows: int, dtype: np.dtype[Any] | type = np.float32) -> None:
        inputs, self._hidden, _ = shape
        self._scale = np.dtype(dtype).type(1 / 255)
        self._x = zeros((rows * inputs,), dtype)
        self._kept = zeros((rows * inputs,), np.uint8)
        self._sorted = zeros((rows, inputs), np.uint8)
        self._labels = np.empty(rows, np.uint8)

    def load(self, pixels: Pixels) -> Inputs:
        """Pixels 0..255, uint8 (B, m), as inputs 0..1, in a buffer of this loader, without the columns that are zero in
        every row."""
        inked = pixels[0] if len(pixels) == 1 else np.bitwise_or.reduce(pixels, axis=0)
        (live,) = inked.nonzero()
        return self._scaled(pixels, live if len(live) <= MAX_LIVE * len(inked) else None)

    def arrange(self, pixels: Pixels, labels: Pixels) -> tuple[Inputs, Pixels]:
        """What `load` does, and the labels (B,), with the rows in another order: as a staircase, if there are many.

        Rows that have ink where few others have come first, and columns that only those need come last.
        """
        rows, inputs = pixels.shape
        count = min(TREADS, rows // TREAD_ROWS, rows * self._hidden // TREAD_WORK)
        if count < 2:
            return self.load(pixels), labels
        order = _rarest_first(pixels, self._kept[: pixels.size].reshape(pixels.shape))
        pixels = pixels.take(order, axis=0, out=self._sorted[:rows], mode="clip")  # the default mode allocates
        labels = labels.take(order, out=self._labels[:rows], mode="clip")
        free, columns, treads = np.ones(inputs, np.bool_), [], []
        end = area = 0
        for part in reversed(range(count)):  # the last rows first, for they need the fewest columns
            begin, some = end, rows * (part + 1) // count
            inked = np.bitwise_or.reduce(pixels[rows * part // count : some], axis=0) != 0
            (more,) = np.logical_and(inked, free, out=inked).nonzero()
            free[more] = False
            end = begin + len(more)
            area += some * len(more)
            columns.append(more)
            treads.append((some, begin, end))
        if area > MAX_LIVE * pixels.size:
            return self._scaled(pixels, None), labels
        return self._scaled(pixels, np.concatenate(columns))._replace(treads=treads), labels

    def _scaled(self, pixels: Pixels, live: Indices | None) -> Inputs:
        shape = len(pixels), pixels.shape[1] if live is None else len(live)
        size = shape[0] * shape[1]
        if live is not None:
            pixels = pixels.take(live, axis=1, out=self._kept[:size].reshape(shape), mode="clip")
        x = self._x[:size].reshape(shape)
        x[...] = pixels  # converted, then multiplied: faster than both at once
        return Inputs(np.multiply(x, self._scale, out=x), live)


def _rarest_first(pixels: Pixels, scratch: Pixels) -> Indices:
    """The order of the rows in which those come first whose rarest ink is the rarest: that in a column where the fewest
    rows have any. scratch: as large as the pixels; garbage is left in it."""
    np.not_equal(pixels, 0, out=scratch.view(np.bool_))
    common = np.add.reduce(scratch[:COUNTED], axis=0, dtype=np.uint8)
    scratch -= 1  # 0 where there is ink, the highest number where there is none
    rarest = np.minimum.reduce(np.maximum(scratch, common, out=scratch), axis=1)
    return np.argsort(rarest, kind="stable")
