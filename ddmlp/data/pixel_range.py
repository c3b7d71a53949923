"""Numbers of any range as pixels."""

import math
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

SCALE_ROWS = 4_096  # rows that are scaled at a time, as float64


class PixelRange(NamedTuple):
    """The numbers that become the pixels 0 and 255.

    Numbers between them are scaled linearly and rounded to the nearest pixel; numbers outside are clipped.

    Examples
    --------
    >>> found = PixelRange.of(np.array([[0.0, 4.0], [8.0, 16.0]]))
    >>> found
    PixelRange(low=0.0, high=16.0)
    >>> found.pixels(np.array([[2, 16, 99]]))
    array([[ 32, 255, 255]], dtype=uint8)
    """

    low: float
    high: float

    @classmethod
    def of(cls, numbers: NDArray[Any]) -> Self:
        """Return the range of numbers, which begins at 0 if none is negative; the range of uint8 is always 0 to 255.

        Raises
        ------
        ValueError
            The numbers are so far apart that float64 cannot hold their difference.
        """
        if numbers.dtype == np.uint8:
            return cls(0.0, 255.0)
        low, high = min(0.0, float(numbers.min())), float(numbers.max())
        if high - low == math.inf:
            raise ValueError(f"the values are from {low} to {high}: too far apart to be scaled to pixels")
        return cls(low, high)

    def pixels(self, rows: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale numbers (rows, ...) to pixels of the same shape, uint8."""
        if rows.dtype == np.uint8 and self == (0, 255):
            return rows
        pixels = np.empty(rows.shape, np.uint8)
        span = (self.high - self.low) or 1.0
        for begin in range(0, len(rows), SCALE_ROWS):
            part = slice(begin, begin + SCALE_ROWS)
            shares = (np.clip(rows[part].astype(np.float64), self.low, self.high) - self.low) / span
            pixels[part] = np.rint(shares * 255.0)
        return pixels
