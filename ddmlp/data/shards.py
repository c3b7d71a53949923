"""Shards: Arrow IPC files of pixels and labels.

A shard is an Arrow IPC *file* (the random-access format of the Arrow columnar specification) of two columns without
nulls: `pixels`, a fixed-shape tensor of uint8 (the canonical extension type arrow.fixed_shape_tensor), and `label`,
uint8. It is not compressed, so a memory map can be read without copies.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.data.flatbuffers import Table
from ddmlp.errors import DatasetError, printable
from ddmlp.files import naming

MAGIC, END = b"ARROW1\0\0", b"\xff\xff\xff\xff\0\0\0\0"  # the first bytes of a file; the marker after its batches
ALIGNMENT = 64  # bytes; the most that Arrow writers align buffers to


class Block(NamedTuple):
    """A record batch, as read-only views of the mapped file: pixels, uint8 (rows, m), and labels, uint8 (rows,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class MappedShard:
    """A shard that is mapped into memory as long as this object or one of its blocks exists.

    Parameters
    ----------
    content : uint8 (bytes,)
        The whole file.
    blocks : list of Block
        Its record batches, views of `content`. Each has `batch_rows` rows; the last one may have fewer.
    batch_rows : int
        Rows per record batch.
    """

    def __init__(self, content: NDArray[np.uint8], blocks: list[Block], batch_rows: int) -> None:
        self.blocks = blocks
        self.content, self._batch_rows = content, batch_rows
        self._width = width = blocks[0].pixels.shape[1]
        # Element p is the row of pixels that begins at byte p of the file. So NumPy copies whole rows by their offsets,
        # and a wrong offset raises IndexError instead of reading outside the file.
        self._rows = np.ndarray(len(content) - width + 1, f"V{width}", content, strides=1)
        # For each record batch: the offset of the pixels, and of the label, of row r is this, plus r times their size.
        self._address = base = _begin(content)
        firsts = np.arange(len(blocks)) * batch_rows
        self._pixels = np.array([_begin(block.pixels) - base for block in blocks]) - firsts * width
        self._labels = np.array([_begin(block.labels) - base for block in blocks]) - firsts

    def copy_rows(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
        """Return copies of the pixels (k,), one element of m bytes per row, and the labels (k,) of `rows` (k,).

        Row numbers count from the first row of the shard. Raises IndexError for pixels outside the file.
        """
        places, labels = self._places(rows)
        return self._rows[places], labels

    def locate_rows(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Return the addresses of the pixels (k,), valid as long as this object exists, and the labels (k,) of `rows`.

        Raises IndexError for pixels outside the file.
        """
        places, labels = self._places(rows)
        if places.size and not 0 <= int(places.min()) <= int(places.max()) < len(self._rows):
            raise IndexError(f"rows at bytes {places.min()} to {places.max()}, expected 0 to {len(self._rows) - 1}")
        return self._address + places, labels

    def _places(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Return the offsets in the file of the pixels of rows, and their labels."""
        block = rows // self._batch_rows
        return self._pixels[block] + rows * self._width, self.content[self._labels[block] + rows]


def schema(image_shape: tuple[int, int]) -> pa.Schema:
    """Return the schema of a shard with images of this (height, width)."""
    tensor = pa.fixed_shape_tensor(pa.uint8(), image_shape)
    return pa.schema([pa.field("pixels", tensor, nullable=False), pa.field("label", pa.uint8(), nullable=False)])


def record_batch(pixels: NDArray[np.uint8], labels: NDArray[np.uint8], form: pa.Schema) -> pa.RecordBatch:
    """Return pixels, uint8 (rows, ...), and labels, uint8 (rows,), as a record batch of a `schema`; contiguous ones are
    not copied."""
    # Built from buffers, because pyarrow's conversions from NumPy import pandas if it is installed, which takes longer
    # than the rest of the program's start.
    tensors = pa.FixedSizeListArray.from_arrays(_uint8(pixels.reshape(-1)), pixels[0].size)
    return pa.record_batch([pa.ExtensionArray.from_storage(form.field("pixels").type, tensors), _uint8(labels)], form)


class ShardWriter:
    """Writes one shard, batch by batch."""

    def __init__(self, path: Path, image_shape: tuple[int, int]) -> None:
        self.path = path
        self.rows = 0
        self._schema = schema(image_shape)
        self._file = path.open("wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)

    def write(self, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Write pixels, uint8 (rows, height, width), and labels, uint8 (rows,), as one record batch."""
        batch = record_batch(pixels, labels, self._schema)
        with naming(self.path):
            self._writer.write_batch(batch)
        self.rows += len(labels)

    def close(self) -> None:
        """Write the footer, and wait until the shard is on disk."""
        with naming(self.path), self._file:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())

    def abandon(self) -> None:
        """Close the file without a footer, so it is not an Arrow file."""
        with suppress(OSError):  # writing the buffered rest may fail, and it is not needed
            self._file.close()


def map_shard(path: Path, rows: int, image_shape: tuple[int, int], batch_rows: int) -> MappedShard:
    """Map a shard of `rows` rows into memory.

    The layout must be exactly that of `ShardWriter`: every row lies inside the file, and the file has nothing else.

    Raises
    ------
    DatasetError
        The file is missing or damaged, differs from its manifest entry, or has another layout.
    """
    try:
        # Leaving the block closes the file descriptor; the arrays keep the map.
        with pa.memory_map(os.fsencode(path)) as source:
            content = np.frombuffer(source.read_buffer(), np.uint8)
            reader = pa.ipc.open_file(source)
            _check_schema(path, reader, image_shape, -(-rows // batch_rows))
            blocks = [
                _block(path, index, reader, message, min(batch_rows, rows - index * batch_rows))
                for index, message in enumerate(_batches(content, source, reader.num_record_batches))
            ]
    except (pa.ArrowException, OSError, AttributeError, ValueError, struct.error) as error:
        raise DatasetError(f"{path} is damaged: {' '.join(str(error).split())}; convert the data again") from error
    return MappedShard(content, blocks, batch_rows)


def _check_schema(path: Path, reader: pa.RecordBatchFileReader, image_shape: tuple[int, int], expected: int) -> None:
    if reader.schema != schema(image_shape):
        raise DatasetError(
            f"{path} has the columns [{_columns(reader.schema)}], expected [{_columns(schema(image_shape))}]; convert "
            "the data again"
        )
    if reader.num_record_batches != expected:
        raise DatasetError(
            f"{path} has {reader.num_record_batches} record batches, expected {expected}; convert the data again"
        )


def _batches(content: NDArray[np.uint8], source: pa.MemoryMappedFile, expected: int) -> list[pa.Message]:
    """Return the record batches in the order of the file.

    The magic number, the schema, the record batches, the end marker and the footer must follow each other without
    gaps; raises ArrowInvalid if they do not.
    """
    if content[: len(MAGIC)].tobytes() != MAGIC:
        raise pa.ArrowInvalid(f"it does not begin with {MAGIC!r}")
    source.seek(len(MAGIC))
    messages = list(pa.ipc.MessageReader.open_stream(source))
    if [message.type for message in messages] != ["schema", *["record batch"] * expected]:
        raise pa.ArrowInvalid(f"its messages are not a schema and the {expected} record batches of its footer")
    end, footer = source.tell(), len(content) - 10 - int.from_bytes(content[-10:-6].tobytes(), "little")
    if end != footer or content[end - len(END) : end].tobytes() != END:
        raise pa.ArrowInvalid(f"its record batches end at byte {end:,}, expected byte {footer:,}, where its footer is")
    return messages[1:]


def _block(path: Path, index: int, reader: pa.RecordBatchFileReader, message: pa.Message, expected: int) -> Block:
    """Return the record batch with this index. The body of `message` must consist of its rows only."""
    header = Table.root(memoryview(message.metadata)).table(2)
    rows = header.number(0, "<q")
    if header.has(3):  # checked first: the decompressed batch may be larger than the memory
        raise DatasetError(f"{path} has a compressed record batch {index}, expected none; convert the data again")
    if rows != expected:
        raise DatasetError(
            f"{path} has {rows} rows in record batch {index}, expected {expected}; convert the data again"
        )
    batch, body = reader.get_batch(index), message.body
    batch.validate(full=True)
    pixels, labels = batch.columns
    *nulls, pixel_data = pixels.storage.buffers()
    label_nulls, label_data = labels.buffers()
    if any(bitmap is not None for bitmap in (*nulls, label_nulls)):
        raise pa.ArrowInvalid(f"record batch {index} has nulls")
    size = rows * pixels.storage.type.list_size
    gap, end = label_data.address - (pixel_data.address + size), body.address + body.size
    if (
        len(batch) != rows
        or pixel_data.address != body.address
        or not 0 <= gap < ALIGNMENT
        or not 0 <= end - (label_data.address + rows) < ALIGNMENT
    ):
        raise pa.ArrowInvalid(f"record batch {index} contains more than its pixels and then its labels")
    return Block(np.frombuffer(pixel_data, np.uint8, size).reshape(rows, -1), np.frombuffer(label_data, np.uint8, rows))


def _uint8(numbers: NDArray[np.uint8]) -> pa.Array:
    """Return uint8 numbers (n,) as an Arrow array, without a copy if they are contiguous."""
    return pa.Array.from_buffers(pa.uint8(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def _begin(array: NDArray[Any]) -> int:
    """Return the address of an array's first byte."""
    return int(array.ctypes.data)


def _columns(found: pa.Schema) -> str:
    return printable(", ".join(f"{each.name!r}: {each.type}{'' if each.nullable else ' not null'}" for each in found))
