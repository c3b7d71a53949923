"""What is changed of rows on their way into a dataset."""

from typing import NamedTuple

import numpy as np

from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError


class Changes(NamedTuple):
    """What is changed of rows; by default nothing.

    Parameters
    ----------
    transpose : bool
        Exchange the rows and the columns of each image.
    first_label : int
        The label that becomes class 0; those after it become 1, 2, ...
    pixel_max : int
        The value that becomes 255, 1 to 255; 0 stays 0, and those between are scaled and rounded.
    invert : bool
        Exchange black and white, after that.
    """

    transpose: bool = False
    first_label: int = 0
    pixel_max: int = 255
    invert: bool = False

    def shape(self, image_shape: tuple[int, int]) -> tuple[int, int]:
        """The shape that images of `image_shape` get."""
        height, width = image_shape
        return (width, height) if self.transpose else image_shape

    def apply(self, rows: Rows, first: int) -> Rows:
        """Changed rows, the first of which has the number `first`; raises DatasetError for a label below
        `first_label`, and a pixel above `pixel_max`."""
        pixels, labels = rows
        if (wrong := np.flatnonzero(labels < self.first_label)).size:
            raise DatasetError(
                f"the label of row {first + int(wrong[0]):,} is {labels[wrong[0]]}, expected {self.first_label} or "
                "more; --first-label says where they begin"
            )
        if self.pixel_max != 255 and (wrong := np.flatnonzero(pixels.max((1, 2)) > self.pixel_max)).size:
            row = int(wrong[0])
            raise DatasetError(
                f"row {first + row:,} has a pixel of {pixels[row].max()}, expected {self.pixel_max} at most; "
                "--pixel-max says what is white"
            )
        if self.pixel_max != 255 or self.invert:
            pixels = self._table()[pixels]
        if self.transpose:
            pixels = pixels.transpose(0, 2, 1)
        return Rows(pixels, labels - np.uint8(self.first_label))

    def _table(self) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
        """What becomes of each value of a pixel."""
        values = np.minimum((np.arange(256) * 255 + self.pixel_max // 2) // self.pixel_max, 255)
        return (255 - values if self.invert else values).astype(np.uint8)
