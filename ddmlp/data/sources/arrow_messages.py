"""The messages of Arrow IPC streams, each checked before Arrow reads it, so that memory use stays bounded.

A message consists of a prefix (ff ff ff ff and the size of the metadata, int32; before Arrow 0.15 only the size), the
metadata, and a body. A size of 0 is the end-of-stream marker. This module reads the sizes in the metadata; the rest is
left to Arrow.
"""

import struct
from collections import deque
from typing import Protocol

import pyarrow as pa

from ddmlp.data.flatbuffers import Table, unpack
from ddmlp.data.signatures import BEGIN, kind_of, remedy_of
from ddmlp.errors import DatasetError

MAX_METADATA_BYTES = 1 << 20  # of a message: the columns of a schema, with their key-value metadata
MAX_BODY_BYTES = 1 << 30  # of a message, both compressed and decompressed
MAX_ROWS = 1 << 24  # of a record batch
END_OF_FILE = "end of file"
CONTINUATION = b"\xff\xff\xff\xff"
NOT_STREAM = "it is damaged, or not an Arrow IPC stream"

_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3  # types of messages
_EMPTY = memoryview(b"")


class Readable(Protocol):
    """A source of bytes.

    `read` returns `size` bytes, fewer only if no more will come; `lost` is then the reason. `peek` returns up to `size`
    of the next bytes without consuming them, and none only if no more will come.
    """

    lost: str | None

    def read(self, size: int) -> memoryview: ...

    def peek(self, size: int) -> bytes: ...


class Messages:
    """The messages of a source, as a file object that Arrow reads. It ends with a stream; `begin` starts the next one.

    Parameters
    ----------
    source : Readable
        The bytes of one or more streams.
    name : str
        The name of the source in error messages.

    Attributes
    ----------
    offset : int
        The offset of the latest message, in bytes of the source.
    """

    closed = False  # Arrow reads this attribute

    def __init__(self, source: Readable, name: str) -> None:
        self.offset = 0
        self._source, self._name = source, name
        self._taken = 0
        self._parts: deque[memoryview] = deque()  # of the latest message, not read yet
        self._type = 0
        self._marked = False  # whether the latest message is the end-of-stream marker
        self._dictionaries: dict[int, int] = {}  # the size of each in bytes, by id

    def begin(self) -> pa.Schema | None:
        """Return the schema of the next stream; None if there is no more.

        `source.lost` is None then if the source ended directly after an end-of-stream marker. Raises DatasetError if
        the next bytes are not a stream.
        """
        first, marked = not self._taken, self._marked
        begin = self._source.peek(BEGIN)
        if not begin:
            if marked and self._source.lost == END_OF_FILE:
                self._source.lost = None
            return None
        if not _may_begin_stream(begin):
            raise self._not_stream(begin, first)
        self._dictionaries.clear()
        try:
            self._receive()
        except _SourceEnded:
            return None
        if self._type != _SCHEMA:
            raise DatasetError(f"{self._name}: found no schema at byte {self.offset:,}, expected one; {NOT_STREAM}")
        return pa.ipc.read_schema(pa.py_buffer(b"".join(self._parts)))

    def read(self, size: int) -> memoryview:
        """Return up to `size` bytes of one part of a message, none at the end. Arrow reads the parts one by one."""
        try:
            if not self._parts:
                self._receive()
        except _SourceEnded:
            return _EMPTY  # Arrow takes this for the end; `source.lost` says that it is not
        part = self._parts.popleft()
        if size < len(part):
            self._parts.appendleft(part[size:])
        return part[:size]

    def _receive(self) -> None:
        """Read the next message from the source, and check it."""
        self.offset = self._taken
        prefix = bytes(self._take(4))
        if prefix == CONTINUATION:
            prefix += bytes(self._take(4))
        size = int.from_bytes(prefix[-4:], "little")
        self._marked = size == 0
        if self._marked:
            self._type = 0
            self._parts.append(memoryview(prefix))
            return
        self._bound(size, MAX_METADATA_BYTES, "bytes of metadata")
        metadata = self._take(size)
        try:
            message = Table.root(metadata)
            self._type, length = message.number(1, "<B"), message.number(3, "<q")
            self._bound(length, MAX_BODY_BYTES, "bytes")
            body = self._take(length)
            self._check(message, body)
        except struct.error:
            raise self._damaged() from None
        self._parts.extend([memoryview(prefix), metadata, *([body] if length else [])])

    def _check(self, message: Table, body: memoryview) -> None:
        """Raise DatasetError if the message would take too much memory, struct.error if it is damaged."""
        if self._type not in (_DICTIONARY, _BATCH):
            return
        header = message.table(2)
        batch = header.table(1) if self._type == _DICTIONARY else header
        self._bound(batch.number(0, "<q"), MAX_ROWS, "rows")
        size = len(body)
        if batch.has(3):  # compressed: each buffer begins with its size, or with -1 if this buffer is not compressed
            buffers = [(begin, length) for begin, length in batch.structs(2, "<qq") if length]
            size = sum(max(0, unpack("<q", body, begin)) for begin, _ in buffers)
            self._bound(size, MAX_BODY_BYTES, "decompressed bytes")
        if self._type == _DICTIONARY:
            key, delta = header.number(0, "<q"), header.number(2, "<B")
            self._dictionaries[key] = size + (self._dictionaries.get(key, 0) if delta else 0)
            self._bound(sum(self._dictionaries.values()), MAX_BODY_BYTES, "bytes, with earlier dictionaries,")

    def _take(self, size: int) -> memoryview:
        found = self._source.read(size)
        self._taken += len(found)
        if len(found) < size:
            raise _SourceEnded
        return found

    def _bound(self, found: int, most: int, what: str) -> None:
        if found < 0:
            raise self._damaged()
        if found > most:
            raise DatasetError(
                f"{self._name} has a message of {found:,} {what} at byte {self.offset:,}, expected at most {most:,}; "
                f"send smaller record batches, unless {NOT_STREAM}"
            )

    def _damaged(self) -> DatasetError:
        return DatasetError(
            f"{self._name} is damaged: the message at byte {self.offset:,} cannot be read, expected one of an Arrow "
            "IPC stream; send it again"
        )

    def _not_stream(self, begin: bytes, first: bool) -> DatasetError:
        kind = kind_of(begin)
        found = kind or f"the bytes {begin[:8].hex(' ')}"
        if first:
            return DatasetError(
                f"{self._name} is {found}, expected an Arrow IPC stream; "
                f"{remedy_of(kind) or 'write its rows with pyarrow.ipc.new_stream, see docs/streams.md'}"
            )
        return DatasetError(
            f"{self._name} continues after its end-of-stream marker, at byte {self._taken:,}, with {found}, expected "
            "nothing or another Arrow IPC stream with the same columns"
        )


def _may_begin_stream(begin: bytes) -> bool:
    if CONTINUATION.startswith(begin[:4]):
        return True
    old = len(begin) >= 4 and 0 < int.from_bytes(begin[:4], "little") <= MAX_METADATA_BYTES
    return old and kind_of(begin) is None


class _SourceEnded(Exception):
    """The source has ended, within a message or between two messages."""
