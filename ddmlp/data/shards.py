"""Shards: Arrow IPC files of pixels and labels. With arrow_stream.py the only importer of pyarrow.

A shard is an Arrow IPC *file* (the random-access format of the Arrow columnar specification) of two columns without
nulls: `pixels`, a fixed-shape tensor of uint8 (the canonical extension type arrow.fixed_shape_tensor), and `label`,
uint8. It is not compressed, so that a memory map is read with no copy.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.errors import DatasetError
from ddmlp.files import naming

ORIGIN = 1  # the address of the first place, as an array must not lie at 0


class Block(NamedTuple):
    """A record batch, as read-only views of the mapped file: pixels (rows, m) uint8 and labels (rows,) uint8."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @property
    def places(self) -> tuple[int, int]:
        """Where the pixels and the labels begin in `memory`."""
        return self.pixels.ctypes.data - ORIGIN, self.labels.ctypes.data - ORIGIN


def memory(width: int) -> NDArray[np.uint8]:
    """This process's memory as a read-only array (places, width): row p is the `width` bytes from place p on.

    So rows of any blocks are gathered by one indexing. Only places in blocks that are mapped may be read: nothing
    checks it, and others end the process.
    """
    interface = {"version": 3, "typestr": "|u1", "data": (ORIGIN, True), "strides": (1, 1)}
    # As many places as NumPy can count the elements of: the addresses of a process are fewer.
    everything = SimpleNamespace(__array_interface__={**interface, "shape": (sys.maxsize // 8 // width, width)})
    return np.asarray(everything)


def schema(image_shape: tuple[int, int]) -> pa.Schema:
    """The schema of a shard with images of (height, width)."""
    tensor = pa.fixed_shape_tensor(pa.uint8(), image_shape)
    return pa.schema([pa.field("pixels", tensor, nullable=False), pa.field("label", pa.uint8(), nullable=False)])


class ShardWriter:
    """Writes one shard, a record batch at a time."""

    def __init__(self, path: Path, image_shape: tuple[int, int]) -> None:
        self.path = path
        self.rows = 0
        self._schema = schema(image_shape)
        self._file = path.open("wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)

    def write(self, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Write pixels (rows, height, width) and labels (rows,) as one record batch."""
        # From buffers: PyArrow's own conversions from and to NumPy import pandas where it is installed, which takes
        # longer than all the rest of a start.
        tensors = pa.FixedSizeListArray.from_arrays(_uint8(pixels.reshape(-1)), pixels[0].size)
        columns = [pa.ExtensionArray.from_storage(self._schema.field("pixels").type, tensors), _uint8(labels)]
        with naming(self.path):
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self.rows += len(labels)

    def close(self) -> None:
        """Complete the shard: the footer is written, and all of it is on disk."""
        with naming(self.path), self._file:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())

    def abandon(self) -> None:
        """Leave the shard without a footer, which is no Arrow file."""
        with suppress(OSError):  # what is still buffered may not fit, and is not wanted
            self._file.close()


def map_shard(path: Path, rows: int, image_shape: tuple[int, int], batch_rows: int) -> list[Block]:
    """Map a shard and return its record batches; raises DatasetError where it is not what the manifest says."""
    try:
        # Closing the source gives its file descriptor back; the arrays hold the map.
        with pa.memory_map(str(path)) as source:
            blocks = _blocks(path, pa.ipc.open_file(source), image_shape, -(-rows // batch_rows))
    except (pa.ArrowException, OSError, AttributeError, ValueError) as error:
        raise DatasetError(f"{path} is damaged: {' '.join(str(error).split())}; convert the data again") from error
    for index, block in enumerate(blocks):
        if len(block.labels) != (wanted := min(batch_rows, rows - index * batch_rows)):
            raise DatasetError(
                f"{path} has {len(block.labels)} rows in record batch {index}, expected {wanted}; "
                "convert the data again"
            )
    return blocks


def _blocks(path: Path, reader: pa.RecordBatchFileReader, image_shape: tuple[int, int], expected: int) -> list[Block]:
    if reader.schema != schema(image_shape):
        raise DatasetError(
            f"{path} has the columns [{_columns(reader.schema)}], expected [{_columns(schema(image_shape))}]"
        )
    if reader.num_record_batches != expected:
        raise DatasetError(
            f"{path} has {reader.num_record_batches} record batches, expected {expected}; convert the data again"
        )
    return [_block(reader.get_batch(index)) for index in range(expected)]


def _block(batch: pa.RecordBatch) -> Block:
    batch.validate(full=True)
    pixels, labels = batch.columns
    if pixels.null_count or labels.null_count:
        raise pa.ArrowInvalid("it has nulls")
    # Not flatten(): it imports pyarrow.compute, which takes longer than all the rest of opening a dataset.
    rows, width = len(batch), pixels.storage.type.list_size
    return Block(_numbers(pixels.storage.values)[: rows * width].reshape(rows, width), _numbers(labels))


def _uint8(numbers: NDArray[np.uint8]) -> pa.Array:
    """Numbers (n,) as an Arrow array, without a copy where they are contiguous."""
    return pa.Array.from_buffers(pa.uint8(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def _numbers(array: pa.Array) -> NDArray[np.uint8]:
    """An Arrow array of uint8 without nulls as a read-only view (n,)."""
    return np.frombuffer(array.buffers()[1], np.uint8, len(array), array.offset)


def _columns(found: pa.Schema) -> str:
    return ", ".join(f"{field.name!r}: {field.type}{'' if field.nullable else ' not null'}" for field in found)
