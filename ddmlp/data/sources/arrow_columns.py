"""Decoding of the Arrow columns `pixels` and `label` into rows."""

from math import isqrt, prod

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_CLASSES, MAX_PIXELS
from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError, printable

ANY = -1  # a list length that the type leaves open


class Columns:
    """Decodes the record batches of one schema, and counts their rows.

    The column `pixels` is a fixed-shape tensor of uint8, (height, width); or a list of uint8, of the same length in all
    rows (the image is square if possible, else 1 pixel high); or a list of such lists, one for each line of the image.
    The column `label` has integers from 0 to classes-1. Other columns are ignored.

    Parameters
    ----------
    schema : pyarrow.Schema
        The schema of the record batches.
    name : str
        The name of the source, with which error messages begin.
    classes : int
        The number of classes.

    Attributes
    ----------
    indices : list of int
        The indices of `pixels` and `label` in the schema.
    row : int
        The number of the next row, for messages.

    Raises
    ------
    DatasetError
        A column is missing, occurs twice, or has another type.
    """

    def __init__(self, schema: pa.Schema, name: str, classes: int) -> None:
        self._name, self._classes = name, classes
        self.row = 0
        for column in ("pixels", "label"):
            if (count := len(schema.get_all_field_indices(column))) != 1:
                raise DatasetError(
                    f"{name} has {count} columns {column!r}, expected one 'pixels', of lists, and one 'label', of "
                    f"integers; rename or combine its columns {shown(schema.names)}"
                )
        self.indices = [schema.get_field_index(column) for column in ("pixels", "label")]
        self._types = [schema.field(index).type for index in self.indices]
        pixels, label = self._types
        if not pa.types.is_integer(label):
            raise DatasetError(
                f"{name} has labels of type {shown(label)}, expected integers; send labels as numbers from 0"
            )
        self._lengths = _lengths(pixels)  # of the lists, outermost first
        if not self._lengths:
            raise DatasetError(
                f"{name} has pixels of type {shown(pixels)}, expected a fixed-shape tensor of uint8 with shape "
                f"(height, width), or a list of uint8; {_remedy(pixels)}"
            )
        self._shape: tuple[int, int] | None = None
        if isinstance(pixels, pa.FixedShapeTensorType):
            self._set_shape(*pixels.shape)
        elif ANY not in self._lengths:
            self._set_shape(*shape_of(self._lengths))

    def following(self, schema: pa.Schema, offset: int) -> "Columns":
        """Return the decoder for a stream that continues this one at byte `offset`.

        Raises DatasetError if its columns have other types.
        """
        other = Columns(schema, self._name, self._classes)
        if other._types != self._types:
            found, expected = (shown(", ".join(map(str, each._types))) for each in (other, self))
            raise DatasetError(
                f"{self._name} continues at byte {offset:,} with pixels and labels of the types {found}, expected "
                f"{expected} as before; join only streams that have the same columns"
            )
        other.row, other._shape, other._lengths = self.row, self._shape, self._lengths
        return other

    def decode(self, batch: pa.RecordBatch) -> Rows:
        """Return the rows of a record batch, which must not be empty; the pixels are views if possible.

        Raises DatasetError for invalid values, and passes on pyarrow's errors for damaged data.
        """
        batch = batch.select(["pixels", "label"])
        batch.validate(full=True)
        pixels, labels = batch.columns
        for column, array in [("pixels", pixels), ("label", labels)]:
            if (null := _first_null(array)) is not None:
                raise DatasetError(f"{self._name}: the {column} of row {self.row + null:,} is null, expected a value")
        rows = Rows(self._pixels(pixels), self._labels(labels))
        self.row += len(batch)
        return rows

    def _set_shape(self, height: int, width: int) -> None:
        if not 1 <= height * width <= MAX_PIXELS:
            raise DatasetError(f"{self._name} has images of {height} x {width} pixels, expected 1 to {MAX_PIXELS:,}")
        self._shape = height, width

    def _pixels(self, array: pa.Array) -> NDArray[np.uint8]:
        values = array.storage if isinstance(array, pa.ExtensionArray) else array
        if self._shape is None:
            self._lengths = _lengths_of(values[0])
            self._set_shape(*shape_of(self._lengths))
        assert self._shape is not None
        inside, parts = 1, ["pixels"] if len(self._lengths) == 1 else ["lines", "pixels in a line"]
        for length, part in zip(self._lengths, parts, strict=True):
            if not pa.types.is_fixed_size_list(values.type):
                lengths = values.value_lengths().to_numpy()
                if (wrong := np.flatnonzero(lengths != length)).size:
                    raise DatasetError(
                        f"{self._name}: row {self.row + int(wrong[0]) // inside:,} has {lengths[wrong[0]]:,} {part}, "
                        f"expected {length:,} as in row 0"
                    )
            values, inside = values.flatten(), inside * length
            if (null := _first_null(values)) is not None:
                raise DatasetError(
                    f"{self._name}: {part.split()[0].removesuffix('s')} {null % inside} of row "
                    f"{self.row + null // inside:,} is null, expected a value"
                )
        found: NDArray[np.uint8] = values.to_numpy().reshape(len(array), *self._shape)
        return found

    def _labels(self, array: pa.Array) -> NDArray[np.uint8]:
        labels: NDArray[np.integer] = array.to_numpy()
        if (wrong := np.flatnonzero((labels < 0) | (labels >= self._classes))).size:
            more = ", or set more classes" if self._classes < MAX_CLASSES else ""
            raise DatasetError(
                f"{self._name}: the label of row {self.row + int(wrong[0]):,} is {labels[wrong[0]]}, expected 0 to "
                f"{self._classes - 1}; number the classes from 0{more}"
            )
        return labels.astype(np.uint8, copy=False)


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
        return "decode the images, and send their pixels"
    return "send the pixels of an image, 0 to 255, as a list of uint8"


def _first_null(array: pa.Array) -> int | None:
    return int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0]) if array.null_count else None


def shown(found: object) -> str:
    """Return untrusted data as one line of text, cut after 200 characters, with unprintable characters escaped."""
    text = printable(str(found)[:201])
    return text if len(text) <= 200 else f"{text[:200]}..."
