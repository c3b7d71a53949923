"""Changes of pixels and labels while rows are converted."""

from typing import NamedTuple

import numpy as np

from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError


class Changes(NamedTuple):
    """Changes to apply to rows; none by default.

    Parameters
    ----------
    transpose : bool
        Swap the height and the width of each image.
    first_label : int
        The label that becomes class 0; higher labels become classes 1, 2, ...
    pixel_max : int
        The value that becomes 255, from 1 to 255. Values from 0 to `pixel_max` are scaled linearly and rounded.
    invert : bool
        Swap black and white, after scaling.

    Examples
    --------
    >>> import numpy as np
    >>> from ddmlp.data.sources import Rows
    >>> rows = Rows(pixels=np.array([[[0, 1]]], np.uint8), labels=np.array([3], np.uint8))
    >>> Changes(first_label=1, pixel_max=1).apply(rows, 0)
    Rows(pixels=array([[[  0, 255]]], dtype=uint8), labels=array([2], dtype=uint8))
    """

    transpose: bool = False
    first_label: int = 0
    pixel_max: int = 255
    invert: bool = False

    def shape(self, image_shape: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) of images that had the shape `image_shape` before."""
        height, width = image_shape
        return (width, height) if self.transpose else image_shape

    def apply(self, rows: Rows, first: int) -> Rows:
        """Return the changed rows.

        Parameters
        ----------
        rows : Rows
            Pixels (rows, height, width) and labels (rows,), both uint8.
        first : int
            The number of the first row in its file, for messages.

        Raises
        ------
        DatasetError
            A label is below `first_label`, or a pixel is above `pixel_max`.
        """
        pixels, labels = rows
        if (wrong := np.flatnonzero(labels < self.first_label)).size:
            raise DatasetError(
                f"the label of row {first + int(wrong[0]):,} is {labels[wrong[0]]}, expected {self.first_label} or "
                "more; --first-label sets the lowest label"
            )
        if self.pixel_max != 255 and (wrong := np.flatnonzero(pixels.max((1, 2)) > self.pixel_max)).size:
            row = int(wrong[0])
            raise DatasetError(
                f"row {first + row:,} has a pixel of {pixels[row].max()}, expected at most {self.pixel_max}; "
                "--pixel-max sets the value of white"
            )
        if self.pixel_max != 255 or self.invert:
            pixels = self._table()[pixels]
        if self.transpose:
            pixels = pixels.transpose(0, 2, 1)
        return Rows(pixels, labels - np.uint8(self.first_label))

    def _table(self) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
        """Return the new value of each of the 256 pixel values."""
        values = np.minimum((np.arange(256) * 255 + self.pixel_max // 2) // self.pixel_max, 255)
        return (255 - values if self.invert else values).astype(np.uint8)
