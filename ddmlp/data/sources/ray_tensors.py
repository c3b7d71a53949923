"""Tensors as Ray Data has them, as Arrow has them."""

from math import prod

import pyarrow as pa

from ddmlp.errors import DatasetError

FIXED = "ray.data.arrow_tensor", "ray.data.arrow_tensor_v2"
VARIABLE = "ray.data.arrow_variable_shaped_tensor"


def without_tensors(batch: pa.RecordBatch, names: tuple[str, ...], name: str, first: int) -> pa.RecordBatch:
    """Return a record batch with the same values, whose columns of these names have no types of Ray Data.

    Tensors of two axes and more become fixed-shape tensors, others lists. name, first: the name of the data and the
    number of the first row, for messages. Raises DatasetError if the tensors of a column differ in shape, and passes on
    pyarrow's errors for damaged data.
    """
    arrays = [
        _plain(array, f"{name}: the {column} of row", first) if column in names else array
        for column, array in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, batch.schema.names, metadata=batch.schema.metadata)


def _plain(array: pa.Array, row: str, first: int) -> pa.Array:
    kind = array.type
    extension = kind.extension_name if isinstance(kind, pa.BaseExtensionType) else None
    if extension in FIXED:
        values, shape = array.storage, tuple(kind.shape)
    elif extension == VARIABLE:
        values, shapes = array.storage.flatten()  # with the nulls of the tensors
        found = [(number, tuple(each)) for number, each in enumerate(shapes.to_pylist(), first) if each is not None]
        shape = found[0][1] if found else ()
        if wrong := next((each for each in found if each[1] != shape), None):
            raise DatasetError(
                f"{row} {wrong[0]:,} have the shape {wrong[1]}, expected {shape} as in row {found[0][0]:,}; give all "
                "images one size"
            )
    else:
        return array
    lists = values.cast(pa.list_(kind.value_type, prod(shape)))
    if len(shape) < 2:
        return lists
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(kind.value_type, shape), lists)
