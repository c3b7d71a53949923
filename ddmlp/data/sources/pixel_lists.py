"""The Arrow column `pixels`: images as lists of numbers."""

from math import isqrt, prod

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_PIXELS
from ddmlp.errors import DatasetError, printable

ANY = -1  # a list length that the type leaves open


class PixelLists:
    """Decodes the column `pixels`, which `Columns` describes.

    Parameters
    ----------
    kind : pyarrow.DataType
        The type of the column.
    name : str
        The name of the source, with which error messages begin.

    Raises
    ------
    DatasetError
        The type is not one of lists of uint8.
    """

    def __init__(self, kind: pa.DataType, name: str) -> None:
        self._name = name
        self._lengths = _lengths(kind)  # of the lists, outermost first
        if not self._lengths:
            raise DatasetError(
                f"{name} has pixels of type {shown(kind)}, expected a fixed-shape tensor of uint8 with shape "
                f"(height, width), or a list of uint8; {_remedy(kind)}"
            )
        self.shape: tuple[int, int] | None = None
        if isinstance(kind, pa.FixedShapeTensorType):
            self._set_shape(*kind.shape)
        elif ANY not in self._lengths:
            self._set_shape(*shape_of(self._lengths))

    def _set_shape(self, height: int, width: int) -> None:
        if not 1 <= height * width <= MAX_PIXELS:
            raise DatasetError(f"{self._name} has images of {height} x {width} pixels, expected 1 to {MAX_PIXELS:,}")
        self.shape = height, width

    def decode(self, array: pa.Array, first: int) -> NDArray[np.uint8]:
        """Return the pixels (rows, height, width) of an array; `first` is the number of its first row, for messages."""
        values = array.storage if isinstance(array, pa.ExtensionArray) else array
        if self.shape is None:
            self._lengths = _lengths_of(values[0])
            self._set_shape(*shape_of(self._lengths))
        assert self.shape is not None
        inside, parts = 1, ["pixels"] if len(self._lengths) == 1 else ["lines", "pixels in a line"]
        for length, part in zip(self._lengths, parts, strict=True):
            if not pa.types.is_fixed_size_list(values.type):
                lengths = values.value_lengths().to_numpy()
                if (wrong := np.flatnonzero(lengths != length)).size:
                    raise DatasetError(
                        f"{self._name}: row {first + int(wrong[0]) // inside:,} has {lengths[wrong[0]]:,} {part}, "
                        f"expected {length:,} as in row 0"
                    )
            values, inside = values.flatten(), inside * length
            if (null := first_null(values)) is not None:
                raise DatasetError(
                    f"{self._name}: {part.split()[0].removesuffix('s')} {null % inside} of row "
                    f"{first + null // inside:,} is null, expected a value"
                )
        found: NDArray[np.uint8] = values.to_numpy().reshape(len(array), *self.shape)
        return found


def is_pixels(kind: pa.DataType) -> bool:
    """Whether a column of this type has pixels, although perhaps not uint8."""
    return isinstance(kind, pa.FixedShapeTensorType) or _is_list(kind)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind))


def shape_of(lengths: list[int]) -> tuple[int, int]:
    """Return the (height, width) of an image by the lengths of its lists: [pixels], or [lines, pixels per line]."""
    if len(lengths) == 1:
        side = isqrt(lengths[0])
        return (side, side) if side * side == lengths[0] else (1, lengths[0])
    return lengths[0], lengths[1]


def _lengths(kind: pa.DataType) -> list[int]:
    """Return the lengths of the lists of pixels, outermost first: ANY if a type leaves it open, [] for other types."""
    if isinstance(kind, pa.FixedShapeTensorType):
        plain = kind.value_type == pa.uint8() and len(kind.shape) == 2 and kind.permutation in (None, [0, 1])
        return [prod(kind.shape)] if plain else []
    lengths = []
    while _is_list(kind):
        lengths.append(kind.list_size if pa.types.is_fixed_size_list(kind) else ANY)
        kind = kind.value_type
    return lengths if kind == pa.uint8() and len(lengths) in (1, 2) else []


def _lengths_of(image: pa.Scalar) -> list[int]:
    """Return the lengths of the lists of one image, outermost first."""
    lengths = [len(image)]
    if _is_list(image.type.value_type):
        line = image[0] if len(image) else None
        lengths.append(len(line) if line is not None and line.is_valid else 0)
    return lengths


def _remedy(kind: pa.DataType) -> str:
    """Return what to do with pixels of an unsupported type."""
    if isinstance(kind, pa.FixedShapeTensorType):
        if kind.value_type == pa.uint8():
            return "send two axes, height and width, in row-major order without a permutation"
        kind = kind.value_type
    while _is_list(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind):
        return "cast the values, 0 to 255, to uint8, and send one list per image"
    if pa.types.is_floating(kind):
        return "scale the values to 0 to 255, and cast them to uint8"
    if pa.types.is_struct(kind) or "binary" in str(kind):
        return "decode the images, and send their pixels; or name a column of picture files 'image'"
    return "send the pixels of an image, 0 to 255, as a list of uint8"


def first_null(array: pa.Array) -> int | None:
    """Return the index of the first null; None if there is none."""
    return int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0]) if array.null_count else None


def shown(found: object) -> str:
    """Return untrusted data as one line of text, cut after 200 characters, with unprintable characters escaped."""
    text = printable(str(found)[:201])
    return text if len(text) <= 200 else f"{text[:200]}..."
