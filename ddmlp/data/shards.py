"""Shards: Arrow IPC files of pixels and labels.

A shard is an Arrow IPC *file* (the random-access format of the Arrow columnar specification) of two columns without
nulls: `pixels`, a fixed-shape tensor of uint8 (the canonical extension type arrow.fixed_shape_tensor), and `label`,
uint8. It is not compressed, so that a memory map is read with no copy.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.errors import DatasetError
from ddmlp.files import naming


class Block(NamedTuple):
    """A record batch, as read-only views of the mapped file: pixels (rows, m) uint8 and labels (rows,) uint8."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class MappedShard:
    """A shard, mapped into memory for as long as this object or one of its blocks lives.

    Parameters
    ----------
    content : uint8 (bytes,)
        The whole file.
    blocks : list of Block
        Its record batches, views of `content`; each has `batch_rows` rows, the last one fewer or as many.
    """

    def __init__(self, content: NDArray[np.uint8], blocks: list[Block], batch_rows: int) -> None:
        self.blocks = blocks
        self._content, self._batch_rows = content, batch_rows
        self._width = width = blocks[0].pixels.shape[1]
        # Element p is the row whose pixels begin at byte p of the file. So NumPy copies whole rows by their places, and
        # an element outside the file does not exist: a wrong place is an IndexError.
        self._rows = np.ndarray(len(content) - width + 1, f"V{width}", content, strides=1)
        # Where the pixels, and the labels, of row 0 would begin if all rows lay as those of the record batch do.
        self._address = base = _begin(content)
        firsts = np.arange(len(blocks)) * batch_rows
        self._pixels = np.array([_begin(block.pixels) - base for block in blocks]) - firsts * width
        self._labels = np.array([_begin(block.labels) - base for block in blocks]) - firsts

    def copy_rows(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
        """The pixels (k,), an element for each row, and the labels (k,) of `rows` (k,), which count from the shard's
        first row."""
        places, labels = self._places(rows)
        return self._rows[places], labels

    def locate_rows(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """The addresses of the pixels (k,), valid as long as this object is there, and the labels (k,) of `rows`."""
        places, labels = self._places(rows)
        if places.size and not 0 <= int(places.min()) <= int(places.max()) < len(self._rows):
            raise IndexError(f"rows at {places.min()} to {places.max()} of a file, expected 0 to {len(self._rows) - 1}")
        return self._address + places, labels

    def _places(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Where in the file the pixels of rows begin; and their labels."""
        block = rows // self._batch_rows
        return self._pixels[block] + rows * self._width, self._content[self._labels[block] + rows]


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


def map_shard(path: Path, rows: int, image_shape: tuple[int, int], batch_rows: int) -> MappedShard:
    """Map a shard of `rows` rows; raises DatasetError if it is not what the manifest says."""
    try:
        # Closing the source gives its file descriptor back; the arrays hold the map.
        with pa.memory_map(str(path)) as source:
            content = np.frombuffer(source.read_buffer(), np.uint8)
            blocks = _blocks(path, pa.ipc.open_file(source), image_shape, -(-rows // batch_rows))
    except (pa.ArrowException, OSError, AttributeError, ValueError) as error:
        raise DatasetError(f"{path} is damaged: {' '.join(str(error).split())}; convert the data again") from error
    for index, block in enumerate(blocks):
        if len(block.labels) != (wanted := min(batch_rows, rows - index * batch_rows)):
            raise DatasetError(
                f"{path} has {len(block.labels)} rows in record batch {index}, expected {wanted}; "
                "convert the data again"
            )
        if any(not _within(content, array) for array in block):
            raise DatasetError(f"{path} has a compressed record batch {index}, expected none; convert the data again")
    return MappedShard(content, blocks, batch_rows)


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


def _begin(array: NDArray[Any]) -> int:
    """The address of an array's first byte."""
    return int(array.ctypes.data)


def _within(content: NDArray[np.uint8], array: NDArray[np.uint8]) -> bool:
    """Whether an array lies in the file, and not in memory of its own."""
    begin = _begin(array) - _begin(content)
    return 0 <= begin <= len(content) - array.size


def _columns(found: pa.Schema) -> str:
    return ", ".join(f"{field.name!r}: {field.type}{'' if field.nullable else ' not null'}" for field in found)
