"""The columns `pixels` and `label` of Arrow data, decoded into rows: for every source that has Arrow columns."""

from collections.abc import Iterable, Iterator
from math import isqrt, prod

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_PIXELS
from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError


def decode(schema: pa.Schema, batches: Iterable[pa.RecordBatch], name: str, classes: int) -> Iterator[Rows]:
    """The rows of record batches with this schema, a batch at a time, the pixels as views where that is possible.

    Columns: `pixels`, a fixed-shape tensor of uint8 (height, width), or a list of uint8, of one length in all rows
    (an image is then square, or 1 pixel high if its pixels make no square); `label`, integers 0..classes-1. Others are
    ignored. Raises DatasetError, beginning with `name`, for other columns and bad values; what pyarrow raises for
    damaged data passes through.
    """
    shape, row = _check_schema(schema, name), 0
    for whole in batches:
        batch = whole.select(["pixels", "label"])
        batch.validate(full=True)
        if not len(batch):
            continue
        for column, array in zip(batch.schema.names, batch.columns, strict=True):
            if array.null_count:
                null = row + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
                raise DatasetError(f"{name}: the {column} of row {null:,} is null, expected a value")
        pixels, labels = batch.columns
        if shape is None:
            shape = _shape_of(len(pixels[0]), name)
        yield Rows(_pixels(pixels, shape, name, row), _labels(labels, classes, name, row))
        row += len(batch)


def _check_schema(schema: pa.Schema, name: str) -> tuple[int, int] | None:
    """The shape of an image; None where the first row will tell."""
    for column in ("pixels", "label"):
        if (count := len(schema.get_all_field_indices(column))) != 1:
            raise DatasetError(
                f"{name} has {count} columns {column!r}, expected one; its columns are {shown(schema.names)}"
            )
    pixels, label = schema.field("pixels").type, schema.field("label").type
    if not pa.types.is_integer(label):
        raise DatasetError(f"{name} has labels of type {shown(label)}, expected integers")
    if isinstance(pixels, pa.FixedShapeTensorType):
        if pixels.value_type == pa.uint8() and len(pixels.shape) == 2 and pixels.permutation in (None, [0, 1]):
            return _check_shape(tuple(pixels.shape), name)
    elif pa.types.is_fixed_size_list(pixels) and pixels.value_type == pa.uint8():
        return _shape_of(pixels.list_size, name)
    elif (pa.types.is_list(pixels) or pa.types.is_large_list(pixels)) and pixels.value_type == pa.uint8():
        return None
    raise DatasetError(
        f"{name} has pixels of type {shown(pixels)}, expected a fixed-shape tensor of uint8 with shape "
        "(height, width), or a list of uint8"
    )


def _shape_of(pixels: int, name: str) -> tuple[int, int]:
    side = isqrt(pixels)
    return _check_shape((side, side) if side * side == pixels else (1, pixels), name)


def _check_shape(shape: tuple[int, int], name: str) -> tuple[int, int]:
    if not 1 <= prod(shape) <= MAX_PIXELS:
        raise DatasetError(f"{name} has images of {shape[0]} x {shape[1]} pixels, expected 1 to {MAX_PIXELS:,}")
    return shape


def _pixels(array: pa.Array, shape: tuple[int, int], name: str, row: int) -> NDArray[np.uint8]:
    rows, size = array.storage if isinstance(array, pa.ExtensionArray) else array, prod(shape)
    if not pa.types.is_fixed_size_list(rows.type):
        lengths = rows.value_lengths().to_numpy()
        if (wrong := np.flatnonzero(lengths != size)).size:
            raise DatasetError(
                f"{name}: row {row + int(wrong[0]):,} has {lengths[wrong[0]]:,} pixels, expected {size:,} as in row 0"
            )
    values = rows.flatten()
    if values.null_count:
        null = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        raise DatasetError(f"{name}: pixel {null % size} of row {row + null // size:,} is null, expected a value")
    found: NDArray[np.uint8] = values.to_numpy().reshape(len(rows), *shape)
    return found


def _labels(array: pa.Array, classes: int, name: str, row: int) -> NDArray[np.uint8]:
    labels: NDArray[np.integer] = array.to_numpy()
    if (wrong := np.flatnonzero((labels < 0) | (labels >= classes))).size:
        raise DatasetError(
            f"{name}: the label of row {row + int(wrong[0]):,} is {labels[wrong[0]]}, expected 0 to {classes - 1}"
        )
    return labels.astype(np.uint8, copy=False)


def shown(found: object) -> str:
    """What a stranger has sent, fit for one line on a terminal."""
    text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(found)[:201])
    return text if len(text) <= 200 else f"{text[:200]}..."
