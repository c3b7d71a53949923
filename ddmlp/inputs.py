"""The inputs: pixels as the network takes them, without the columns that are zero in every row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.network import Floats, Indices

MOST_LIVE = 0.9  # of the columns: where more are not zero, leaving out the others costs more than multiplying by zero


class Loader:
    """Loads pixels into buffers for up to `rows` rows of `inputs` pixels. Not for two threads at once."""

    def __init__(self, rows: int, inputs: int, dtype: np.dtype[Any] | type = np.float32) -> None:
        self._scale = np.dtype(dtype).type(1 / 255)
        self._x = np.empty(rows * inputs, dtype)
        self._pixels = np.empty(rows * inputs, np.uint8)

    def load(self, pixels: NDArray[np.uint8]) -> tuple[Floats, Indices | None]:
        """Pixels 0..255, uint8 (B, m), as inputs 0..1, in a buffer of this loader.

        Returns x (B, k) and which k of the m columns these are, in ascending order; all others are zero. None: x is
        (B, m). It follows from the pixels alone, so a batch has the same bits wherever it is computed.
        """
        rows, inputs = pixels.shape
        inked = pixels[0] if rows == 1 else np.bitwise_or.reduce(pixels, axis=0)
        (live,) = inked.nonzero()
        shape = rows, len(live) if len(live) <= MOST_LIVE * inputs else inputs
        x = self._x[: shape[0] * shape[1]].reshape(shape)
        if shape == pixels.shape:
            return np.multiply(pixels, self._scale, out=x), None
        kept = self._pixels[: x.size].reshape(shape)
        pixels.take(live, axis=1, out=kept, mode="clip")  # the default mode allocates
        return np.multiply(kept, self._scale, out=x), live
