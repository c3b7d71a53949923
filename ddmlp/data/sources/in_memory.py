"""Rows in memory: NumPy arrays and Arrow tables."""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_PIXELS
from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError, printable

BATCH_BYTES = 1 << 20  # of pixels, at a time


class RowsInMemory:
    """Images and their labels in memory: a `FiniteSource`.

    Parameters
    ----------
    images : integers (rows, height, width)
        Pixels from 0 (background) to 255 (ink), as in MNIST.
    labels : integers (rows,)
        The class of each image, 0 to 255.
    name : str
        The name of the data in messages.

    Raises
    ------
    DatasetError
        A shape, a dtype or a value is wrong.

    Examples
    --------
    >>> source = RowsInMemory(np.zeros((5, 28, 28), np.int64), [0, 1, 2, 1, 0])
    >>> source.image_shape, source.count_classes()
    ((28, 28), 3)
    """

    class_names: tuple[str, ...] | None = None

    def __init__(self, images: Any, labels: Any, name: str = "the data") -> None:
        pixels, classes = _as_array(images, f"{name}: the images"), _as_array(labels, f"{name}: the labels")
        if pixels.ndim != 3 or classes.ndim != 1 or len(pixels) != len(classes):
            raise DatasetError(
                f"{name} has images of shape {pixels.shape} and labels of shape {classes.shape}, expected (rows, "
                "height, width) and (rows,)"
            )
        if pixels.size < 1 or pixels[0].size > MAX_PIXELS:
            raise DatasetError(
                f"{name} has images of shape {pixels.shape}, expected at least one image of 1 to {MAX_PIXELS:,} pixels"
            )
        self.name = name
        self._pixels = _as_bytes(pixels, f"{name}: the images", "scale them to 0 to 255 and round them")
        self._labels = _as_bytes(classes, f"{name}: the labels", "number the classes from 0")
        self.rows = len(pixels)
        self.image_shape: tuple[int, int] = pixels.shape[1:]

    @classmethod
    def of(cls, data: Any, name: str = "the data") -> "RowsInMemory | None":
        """Return the rows of a pair (images, labels) or of a pyarrow Table; None for anything else."""
        if isinstance(data, tuple | list) and len(data) == 2:
            return cls(data[0], data[1], name)
        if type(data).__module__.partition(".")[0] == "pyarrow":
            from ddmlp.data.sources.arrow_table import table_columns

            pixels, labels = table_columns(data, name)
            return cls(pixels, labels, name)
        return None

    def open(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def count_classes(self) -> int:
        """Return one more than the highest label."""
        return int(self._labels.max()) + 1

    def batches(self, classes: int, rows: int | None = None) -> Iterator[Rows]:
        """Yield the rows in order, `rows` at a time, by default about 1 MiB of pixels.

        Raises DatasetError for a label outside the classes.
        """
        if (wrong := np.flatnonzero(self._labels >= classes)).size:
            raise DatasetError(
                f"{self.name}: the label of row {wrong[0]:,} is {self._labels[wrong[0]]}, expected 0 to {classes - 1}"
            )
        size = rows or max(1, BATCH_BYTES // self._pixels[0].size)
        for start in range(0, self.rows, size):
            yield Rows(self._pixels[start : start + size], self._labels[start : start + size])


def _as_array(values: Any, what: str) -> NDArray[Any]:
    """Return the values as an array; raises DatasetError if they cannot be converted, or some are masked."""
    if np.ma.is_masked(values):
        raise DatasetError(f"{what} have masked values, expected integers from 0 to 255; fill them, or drop their rows")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of different lengths; a tensor with a gradient
        why = printable(" ".join(str(error).split()))
        raise DatasetError(f"{what} cannot be converted to an array: {why}") from None


def _as_bytes(values: NDArray[Any], what: str, remedy: str) -> NDArray[np.uint8]:
    """Return the values as uint8; raises DatasetError if this would change one."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "iu":
        raise DatasetError(f"{what} are {values.dtype}, expected integers from 0 to 255; {remedy}")
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > 255:
        raise DatasetError(f"{what} are from {least} to {most}, expected 0 to 255; {remedy}")
    return values.astype(np.uint8)
