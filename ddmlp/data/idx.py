"""The IDX format, both ways: arrays of numbers, streamed from and to a file, plain or gzip.

Format (Yann LeCun, "THE MNIST DATABASE of handwritten digits", section "FILE FORMATS"), all integers big-endian:

    byte 0, 1         zero
    byte 2            type: 0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32, 0x0D float32, 0x0E float64
    byte 3            rank: the number of axes
    4 * rank bytes    the size of each axis, uint32
    the rest          the numbers, in row-major order

An *item* is what one index along the first axis selects: an image of a file of images. A file of rank 0 is one item,
a single number. Every offset here counts bytes of the uncompressed data.
"""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt

from ddmlp.errors import IdxError
from ddmlp.files import whole_file

DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(np.int16),
    0x0C: np.dtype(np.int32),
    0x0D: np.dtype(np.float32),
    0x0E: np.dtype(np.float64),
}
TYPE_NAMES = ", ".join(f"0x{code:02X} ({dtype})" for code, dtype in DTYPES.items())
GZIP_MAGIC = b"\x1f\x8b"
MAX_RANK = 64  # NumPy's; IDX itself allows 255
MAX_SIZE = 2**32 - 1  # of one axis: a uint32
MAX_BYTES = 2**63 - 1  # of an array, in NumPy as in a file
GZIP_LEVEL = 6  # gzip's own default; Python's, 9, is far slower for hardly smaller files
BLOCK_BYTES = 1 << 20
NOT_IDX = "check that this is an IDX file"
DAMAGED = "get a fresh copy of the file"


class IdxReader:
    """An IDX file, read front to back in chunks; a context manager.

    path: the file, plain or gzip; which of the two is told by its first bytes, not by its name.
    shape, dtype: of the whole array; the dtype is in native byte order.
    len(reader): the items in the file, `shape[0]` (1 for rank 0).

    Memory is bounded by the chunk asked for, and never by what the header claims. A plain file's size is compared with
    the header when it is opened. Once the last item is read the file must end there, with a good checksum if it is
    gzip: a damaged tail is an error of the read that reaches it.

    Raises IdxError, from the constructor on: a file that is missing, short, overlong, damaged, or not IDX.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with ExitStack() as stack:
            file = stack.enter_context(self._open())
            self._gzip = file.peek(2)[:2] == GZIP_MAGIC
            self._stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=file)) if self._gzip else file)
            self.shape, self.dtype = self._read_header()
            self._items, self._item_bytes = _layout(self.path, self.shape, self.dtype)
            self._next = 0
            self._header_bytes = 4 + 4 * len(self.shape)
            self._end = self._header_bytes + self._items * self._item_bytes
            if not self._gzip:
                self._check_size(os.fstat(file.fileno()).st_size)
            if not self._items:
                self._check_end()
            self._exit = stack.pop_all()

    def __len__(self) -> int:
        return self._items

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._exit.close()

    @property
    def offset(self) -> int:
        """Where the next item starts, in bytes of the uncompressed data."""
        return self._header_bytes + self._next * self._item_bytes

    def read(self, count: int) -> npt.NDArray[Any]:
        """The next `count` >= 1 items, fewer at the end of the file and none after it.

        Returns an array (n, *shape[1:]) of `dtype`, 0 <= n <= count, which the caller owns and may write to. Raises
        IdxError when the file is damaged here, and ValueError for a count below 1.
        """
        if count < 1:
            raise ValueError(f"count is {count}; expected at least 1")
        count = min(count, self._items - self._next)
        data = self._read_bytes(self.offset, count * self._item_bytes)
        if self._next + count == self._items:
            self._check_end()
        self._next += count
        items = np.ndarray((count, *self.shape[1:]), self.dtype.newbyteorder(">"), data)
        return items.astype(self.dtype, copy=False)

    def chunks(self, count: int) -> Iterator[npt.NDArray[Any]]:
        """All that is left, as arrays of `count` items (the last may have fewer); errors as for `read`."""
        while len(items := self.read(count)):
            yield items

    def _open(self) -> BufferedReader:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            raise IdxError(f"{self.path}: no such file; expected an IDX file, plain or gzip") from None
        except OSError as error:
            raise IdxError(f"{self.path}: {error.strerror}; expected an IDX file, plain or gzip") from None

    def _read_header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        magic = self._read_bytes(0, 4)
        if magic[:2] != b"\0\0":
            raise self._error(0, f"the bytes {magic.hex(' ')}", "00 00, a type and a rank", NOT_IDX)
        if magic[2] not in DTYPES:
            raise self._error(2, f"the type 0x{magic[2]:02X}", f"one of {TYPE_NAMES}", NOT_IDX)
        if magic[3] > MAX_RANK:
            raise self._error(3, f"the rank {magic[3]}", f"at most {MAX_RANK}, NumPy's limit", NOT_IDX)
        shape: tuple[int, ...] = struct.unpack(f">{magic[3]}I", self._read_bytes(4, 4 * magic[3]))
        return shape, DTYPES[magic[2]]

    def _read_bytes(self, offset: int, size: int) -> bytearray:
        # In blocks, because `size` may be what a damaged header claims: only bytes that arrive take memory.
        data = bytearray()
        while len(data) < size:
            block = self._read_block(offset + len(data), min(BLOCK_BYTES, size - len(data)))
            if not block:
                raise self._error(offset + len(data), "the end of the file", f"{size - len(data):,} more bytes")
            data += block
        return data

    def _read_block(self, offset: int, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except EOFError:
            raise self._error(offset, "the end of a truncated gzip stream", "the rest of it") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self._error(offset, f"damaged gzip data ({error})", "a sound gzip stream") from None

    def _check_size(self, size: int) -> None:
        if size != self._end:
            expected = f"{self._end:,} ({self._header_bytes} of header, then {self._contents()})"
            raise self._error(min(size, self._end), f"a file of {size:,} bytes", expected)

    def _check_end(self) -> None:
        if self._read_block(self._end, 1):
            raise self._error(self._end, "more data", f"the end of the file after {self._contents()}")

    def _contents(self) -> str:
        return f"{' x '.join(map(str, self.shape)) or 'one'} {self.dtype}"

    def _error(self, offset: int, found: str, expected: str, remedy: str = DAMAGED) -> IdxError:
        where = f"byte {offset:,} of the uncompressed data" if self._gzip else f"byte {offset:,}"
        return IdxError(f"{self.path}, {where}: found {found}, expected {expected}; {remedy}")


def is_idx(path: Path) -> bool:
    """Whether a file begins as an IDX file does, plain or gzip; raises IdxError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(2) in (b"\0\0", GZIP_MAGIC)
    except OSError as error:
        raise IdxError(f"{path}: {error.strerror}") from None


def read_idx(path: str | Path) -> npt.NDArray[Any]:
    """The whole array of an IDX file, in native byte order; raises IdxError as IdxReader does."""
    with IdxReader(path) as reader:
        return reader.read(max(1, len(reader))).reshape(reader.shape)


class IdxWriter:
    """An IDX file, written front to back; a context manager that leaves the whole file, or nothing new.

    shape, dtype: of the whole array; one of the six dtypes of the format, in either byte order. `compress` makes gzip
    of it, without a name or a time in it, so that equal arrays give equal files.

    The numbers go to a temporary file in the same folder, which takes the name `path` when the block is left without an
    exception and with every item written, and is removed otherwise.

    Raises IdxError: a shape or dtype that IDX cannot hold, a folder that cannot be written to, items that do not fit,
    and, when the block is left, fewer items than the shape says.
    """

    def __init__(
        self, path: str | Path, shape: tuple[int, ...], dtype: npt.DTypeLike, *, compress: bool = False
    ) -> None:
        self.path = Path(path)
        self.shape = tuple(map(int, shape))
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self._compress = compress
        self._code = _type_code(self.path, self.dtype)
        self._items, _ = _layout(self.path, self.shape, self.dtype)
        self._written = 0

    def __enter__(self) -> Self:
        if self.path.is_dir():
            raise IdxError(f"{self.path}: found a folder, expected the name of a file to write")
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(whole_file(self.path))
            except OSError as error:
                raise IdxError(f"{self.path}: {error.strerror}; expected a folder that can be written to") from None
            if self._compress:
                packed = gzip.GzipFile("", "wb", GZIP_LEVEL, stream, mtime=0)
                stream = cast(BinaryIO, stack.enter_context(packed))
            # Entered last, so that it is left first: what it raises makes whole_file drop the file.
            stack.push(self._refuse_fewer_items)
            stream.write(struct.pack(f">2xBB{len(self.shape)}I", self._code, len(self.shape), *self.shape))
            self._stream = stream
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, traceback)

    def write(self, items: npt.NDArray[Any]) -> None:
        """Append items, an array (n, *shape[1:]) of `dtype` ((1,) for rank 0), in any memory layout and byte order."""
        if items.dtype.newbyteorder("=") != self.dtype or items.shape[1:] != self.shape[1:] or items.ndim == 0:
            expected = f"{self.dtype} of shape {('n', *self.shape[1:])}"
            raise IdxError(f"{self.path}: found items of {items.dtype}, shape {items.shape}, expected {expected}")
        if self._written + len(items) > self._items:
            found = f"item {self._written + len(items):,}"
            raise IdxError(f"{self.path}: found {found}, expected only the {self._items:,} of shape {self.shape}")
        data = np.ascontiguousarray(items, self.dtype.newbyteorder(">"))
        self._stream.write(data.reshape(-1).view(np.uint8).data)
        self._written += len(items)

    def _refuse_fewer_items(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._written < self._items:
            expected = f"the {self._items:,} of shape {self.shape}; nothing was written"
            raise IdxError(f"{self.path}: found {self._written:,} items, expected {expected}")


def write_idx(path: str | Path, array: npt.NDArray[Any], *, compress: bool = False) -> None:
    """Write a whole array, of any rank, as an IDX file; raises IdxError as IdxWriter does."""
    with IdxWriter(path, array.shape, array.dtype, compress=compress) as writer:
        writer.write(array if array.ndim else array.reshape(1))


def _type_code(path: Path, dtype: np.dtype[Any]) -> int:
    for code, known in DTYPES.items():
        if known == dtype:
            return code
    raise IdxError(f"{path}: found the dtype {dtype}, expected one that IDX has: {TYPE_NAMES}; convert the array")


def _layout(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int]:
    """(items, bytes of an item) of an array, refused when IDX or NumPy cannot hold it."""
    if len(shape) > MAX_RANK or any(not 0 <= size <= MAX_SIZE for size in shape):
        raise IdxError(f"{path}: found the shape {shape}, expected at most {MAX_RANK} axes of 0 to {MAX_SIZE:,}")
    # Zero-length axes are left out as NumPy does: (0, 2**32 - 1, 2**32 - 1) holds nothing, and yet cannot be an array.
    size = math.prod(filter(None, shape)) * dtype.itemsize
    if size > MAX_BYTES:
        raise IdxError(f"{path}, byte 4: found sizes {shape} of {dtype}, {size:,} bytes, expected at most 2**63 - 1")
    return (shape[0] if shape else 1), math.prod(shape[1:]) * dtype.itemsize
