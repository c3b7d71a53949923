"""IDX files of images and labels, plain or gzip: a streaming reader and a writer.

Format (Yann LeCun, "THE MNIST DATABASE of handwritten digits", section "FILE FORMATS"), all integers big-endian:

    byte 0, 1         zero
    byte 2            type: 0x08, uint8
    byte 3            rank, the number of axes: 1 for labels, 3 for images
    4 * rank bytes    the size of each axis, uint32
    the rest          the numbers, in row-major order

The format has other types and ranks. They are rejected, except QMNIST's labels, int32 (rows, 8), whose first column is
the class; they are read as bytes, (rows, 32). An *item* is one image or one label: one index along the first axis.
Every offset counts bytes of the uncompressed data.
"""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_PIXELS
from ddmlp.data.signatures import BEGIN, IDX, kind_of, remedy_of
from ddmlp.errors import IdxError
from ddmlp.files import whole_file

Pixels: TypeAlias = NDArray[np.uint8]

UINT8 = 0x08
LABELS, IMAGES = 1, 3  # ranks
QMNIST = b"\0\0\x0c\x02"  # the first bytes of its labels
GZIP_MAGIC = b"\x1f\x8b"
# The first three bytes. Two zeros alone are not enough, because HEIC files begin with them, too.
TYPES = [bytes((0, 0, kind)) for kind in (0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E)]
GZIP_LEVEL = 6  # gzip's own default; Python's default, 9, is far slower, and the files are hardly smaller
BLOCK_BYTES = 1 << 20
NOT_IDX = "check that this is an IDX file"
WRITE_IDX = "write its pixels and labels with ddmlp.data.idx.write_idx"
DAMAGED = "get a fresh copy of the file"


class IdxReader:
    """An IDX file, read sequentially in chunks; a context manager. `len(reader)` is the number of items.

    Memory use is bounded by the chunk size, whatever the header claims. The size of a plain file is compared with the
    header when the file is opened. The read that returns the last item also checks that the file ends there, and a
    gzip file's checksum.

    Parameters
    ----------
    path : str or Path
        The file. Its first bytes, not its name, tell whether it is gzip.

    Attributes
    ----------
    shape : tuple of int
        (rows, height, width) for images, (rows,) for labels, (rows, 32) for those of QMNIST.

    Raises
    ------
    IdxError
        When opened or read: the file is missing, too short, too long, damaged, or not an IDX file of images or labels.

    Examples
    --------
    >>> write_idx("labels.gz", np.arange(5, dtype=np.uint8), compress=True)
    >>> with IdxReader("labels.gz") as reader:
    ...     reader.shape, [chunk.tolist() for chunk in reader.chunks(2)]
    ((5,), [[0, 1], [2, 3], [4]])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with ExitStack() as stack:
            file = stack.enter_context(self._open())
            self._gzip = file.peek(2)[:2] == GZIP_MAGIC
            self._stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=file)) if self._gzip else file)
            self.shape = self._read_header()
            self._item_bytes = math.prod(self.shape[1:])
            self._next = 0
            self._header_bytes = 4 + 4 * len(self.shape)
            self._end = self._header_bytes + len(self) * self._item_bytes
            if not self._gzip:
                self._check_size(os.fstat(file.fileno()).st_size)
            if not len(self):
                self._check_end()
            self._exit = stack.pop_all()

    def __len__(self) -> int:
        return self.shape[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._exit.close()

    @property
    def offset(self) -> int:
        """The offset of the next item, in bytes of the uncompressed data."""
        return self._header_bytes + self._next * self._item_bytes

    def read(self, count: int) -> Pixels:
        """Return the next `count` items, fewer at the end of the file: uint8 (n, height, width) or (n,), n <= count.

        The caller may modify the array. Raises IdxError if the file is damaged here, ValueError if `count` is below 1.
        """
        if count < 1:
            raise ValueError(f"count is {count}; expected at least 1")
        count = min(count, len(self) - self._next)
        data = self._read_bytes(self.offset, count * self._item_bytes)
        if self._next + count == len(self):
            self._check_end()
        self._next += count
        return np.frombuffer(data, np.uint8).reshape(count, *self.shape[1:])

    def chunks(self, count: int) -> Iterator[Pixels]:
        """Yield the remaining items in arrays of `count`; the last may have fewer. Errors are those of `read`."""
        while len(items := self.read(count)):
            yield items

    def _open(self) -> BufferedReader:
        try:
            return self.path.open("rb")
        except OSError as error:
            why = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise IdxError(f"{self.path}: {why}; expected an IDX file, plain or gzip") from None

    def _read_header(self) -> tuple[int, ...]:
        magic = self._read_bytes(0, 4)
        self._refuse_other(bytes(magic))
        if magic == QMNIST and (axes := struct.unpack(">2I", self._read_bytes(4, 8)))[1] == 8:
            return axes[0], 32
        if magic[:2] != b"\0\0":
            raise self._error(0, f"the bytes {magic.hex(' ')}", "00 00, a type and a rank", NOT_IDX)
        if magic[2] != UINT8:
            raise self._error(2, f"the type 0x{magic[2]:02X}", "0x08 (uint8)", NOT_IDX)
        if magic[3] not in (LABELS, IMAGES):
            raise self._error(3, f"the rank {magic[3]}", "1 (labels) or 3 (images)", NOT_IDX)
        shape: tuple[int, ...] = struct.unpack(f">{magic[3]}I", self._read_bytes(4, 4 * magic[3]))
        if math.prod(filter(None, shape[1:])) > MAX_PIXELS:  # NumPy rejects large axes even if another one is 0
            found = f"images of {shape[1]} x {shape[2]} pixels"
            raise self._error(8, found, f"at most {MAX_PIXELS:,} pixels", NOT_IDX)
        return shape

    def _refuse_other(self, begin: bytes) -> None:
        """Raise IdxError if the first bytes, `begin` and those that follow, are those of another file format."""
        with suppress(OSError, EOFError, zlib.error):  # damage after these bytes does not matter here
            begin += cast(BufferedReader, self._stream).peek(BEGIN)[: BEGIN - len(begin)]
        if (kind := kind_of(begin)) not in (None, IDX):
            raise self._error(0, str(kind), IDX, remedy_of(kind) or WRITE_IDX)

    def _read_bytes(self, offset: int, size: int) -> bytearray:
        # In blocks, because `size` may come from a damaged header: only bytes that exist take memory.
        data = bytearray()
        while len(data) < size:
            block = self._read_block(offset + len(data), min(BLOCK_BYTES, size - len(data)))
            if not block:
                found = "the end of the file" if offset + len(data) else "an empty file"
                raise self._error(offset + len(data), found, f"{size - len(data):,} more bytes")
            data += block
        return data

    def _read_block(self, offset: int, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except EOFError:
            raise self._error(offset, "the end of a truncated gzip stream", "the rest of the stream") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self._error(offset, f"damaged gzip data ({error})", "an intact gzip stream") from None

    def _check_size(self, size: int) -> None:
        if size != self._end:
            expected = f"{self._end:,} ({self._header_bytes} of header, then {self._contents()})"
            raise self._error(min(size, self._end), f"a file of {size:,} bytes", expected)

    def _check_end(self) -> None:
        if self._read_block(self._end, 1):
            raise self._error(self._end, "more data", f"the end of the file after {self._contents()}")

    def _contents(self) -> str:
        return f"{' x '.join(map(str, self.shape))} uint8"

    def _error(self, offset: int, found: str, expected: str, remedy: str = DAMAGED) -> IdxError:
        where = f"byte {offset:,} of the uncompressed data" if self._gzip else f"byte {offset:,}"
        return IdxError(f"{self.path}, {where}: found {found}, expected {expected}; {remedy}")


def is_idx(path: Path) -> bool:
    """Whether a file begins like an IDX file, plain or gzip; raises IdxError if it cannot be read."""
    try:
        with path.open("rb") as file:
            begin = file.read(3)
            return begin[:2] == GZIP_MAGIC or begin in TYPES
    except OSError as error:
        raise IdxError(f"{path}: {error.strerror}; expected an image or an IDX file") from None


def read_idx(path: str | Path) -> Pixels:
    """Return all images, uint8 (rows, height, width), or labels, uint8 (rows,), of an IDX file (QMNIST: (rows, 32)).

    Parameters and errors are those of `IdxReader`.
    """
    with IdxReader(path) as reader:
        return reader.read(max(1, len(reader)))


def write_idx(path: str | Path, array: Pixels, *, compress: bool = False) -> None:
    """Write an IDX file atomically: after an error, the path is as it was before.

    Parameters
    ----------
    path : str or Path
        The file to write or replace.
    array : uint8 (rows, height, width) or (rows,)
        Images or labels.
    compress : bool
        Compress with gzip, without a name or a time stamp: equal arrays give equal files.

    Raises
    ------
    IdxError
        The array has another type or rank, or the file cannot be written.
    """
    path = Path(path)
    if array.dtype != np.uint8 or array.ndim not in (LABELS, IMAGES):
        found = f"{array.dtype} of rank {array.ndim}"
        raise IdxError(f"{path}: found an array of {found}, expected uint8 of rank 1 (labels) or 3 (images)")
    content = struct.pack(f">2xBB{array.ndim}I", UINT8, array.ndim, *array.shape) + array.tobytes()
    try:
        with whole_file(path) as file, ExitStack() as stack:
            packed = stack.enter_context(gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)) if compress else file
            packed.write(content)
    except OSError as error:
        raise IdxError(f"{path}: {error.strerror}; expected a file name in an existing folder") from None
