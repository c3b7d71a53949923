"""The messages of Arrow IPC streams, each checked before Arrow reads it, so that no stranger makes the memory grow.

A message is a prefix (ff ff ff ff and the size of the metadata, int32; before Arrow 0.15 the size alone), the metadata,
and a body. A size of 0 is the mark of a stream's end. Of the metadata we read the sizes, and leave all else to Arrow.
"""

import struct
from collections import deque
from typing import Protocol

import pyarrow as pa

from ddmlp.data.flatbuffers import Table, unpack
from ddmlp.data.signatures import BEGIN, kind_of, remedy_of
from ddmlp.errors import DatasetError

MAX_METADATA_BYTES = 1 << 20  # of a message: a schema's columns, and what is noted beside them
MAX_BODY_BYTES = 1 << 30  # of a message, as it is sent, and once it is decompressed
MAX_ROWS = 1 << 24  # of a record batch
END_OF_FILE = "end of file"
CONTINUATION = b"\xff\xff\xff\xff"
NOT_STREAM = "it is damaged, or no Arrow IPC stream"

_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3  # types of messages
_EMPTY = memoryview(b"")


class Readable(Protocol):
    """Where bytes come from. `read` gives as many as asked, and fewer only if no more will come: then `lost` says why.
    `peek` gives the next few, at most as many as asked, which later reads give again, and none only if none will come.
    """

    lost: str | None

    def read(self, size: int) -> memoryview: ...

    def peek(self, size: int) -> bytes: ...


class Messages:
    """The messages that `source` gives, as a file for Arrow to read. It ends where a stream ends; `begin` finds the
    next one behind it.

    Attributes
    ----------
    offset : int
        Where the newest message begins, in bytes of the source.
    """

    closed = False  # which Arrow asks

    def __init__(self, source: Readable, name: str) -> None:
        """name: what errors call the source."""
        self.offset = 0
        self._source, self._name = source, name
        self._taken = 0
        self._parts: deque[memoryview] = deque()  # of the newest message, which are not read yet
        self._type = 0
        self._marked = False  # the newest message is the mark of the end
        self._dictionaries: dict[int, int] = {}  # the bytes of each

    def begin(self) -> pa.Schema | None:
        """The schema of the stream that begins here; None if there is none, and `source.lost` is None if the one before
        has ended with its mark, and the source with it. Raises DatasetError for anything else."""
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
        except _Lost:
            return None
        if self._type != _SCHEMA:
            raise DatasetError(f"{self._name}: found no schema at byte {self.offset:,}, expected one; {NOT_STREAM}")
        return pa.ipc.read_schema(pa.py_buffer(b"".join(self._parts)))

    def read(self, size: int) -> memoryview:
        """So many bytes of a part of a message, which Arrow reads one after the other; none at the end."""
        try:
            if not self._parts:
                self._receive()
        except _Lost:
            return _EMPTY  # Arrow takes it for the end; `source.lost` tells that it is none
        part = self._parts.popleft()
        if size < len(part):
            self._parts.appendleft(part[size:])
        return part[:size]

    def _receive(self) -> None:
        """Take the next message from the source, and check it."""
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
        """Raise DatasetError if Arrow would need too much memory for the message; struct.error if it is damaged."""
        if self._type not in (_DICTIONARY, _BATCH):
            return
        header = message.table(2)
        batch = header.table(1) if self._type == _DICTIONARY else header
        self._bound(batch.number(0, "<q"), MAX_ROWS, "rows")
        size = len(body)
        if batch.has(3):  # it is compressed, and each buffer begins with its size; -1 if it is not compressed after all
            buffers = [(begin, length) for begin, length in batch.structs(2, "<qq") if length]
            size = sum(max(0, unpack("<q", body, begin)) for begin, _ in buffers)
            self._bound(size, MAX_BODY_BYTES, "bytes, once it is decompressed,")
        if self._type == _DICTIONARY:
            key, delta = header.number(0, "<q"), header.number(2, "<B")
            self._dictionaries[key] = size + (self._dictionaries.get(key, 0) if delta else 0)
            self._bound(sum(self._dictionaries.values()), MAX_BODY_BYTES, "bytes, with the dictionaries before it,")

    def _take(self, size: int) -> memoryview:
        found = self._source.read(size)
        self._taken += len(found)
        if len(found) < size:
            raise _Lost
        return found

    def _bound(self, found: int, most: int, what: str) -> None:
        if found < 0:
            raise self._damaged()
        if found > most:
            raise DatasetError(
                f"{self._name} announces a message of {found:,} {what} at byte {self.offset:,}, expected at most "
                f"{most:,}; send smaller record batches, unless {NOT_STREAM}"
            )

    def _damaged(self) -> DatasetError:
        return DatasetError(
            f"{self._name} has a message at byte {self.offset:,} that cannot be read, expected one of an Arrow IPC "
            "stream; it is damaged, send it again"
        )

    def _not_stream(self, begin: bytes, first: bool) -> DatasetError:
        kind = kind_of(begin)
        found = kind or f"the bytes {begin[:8].hex(' ')}"
        if first:
            return DatasetError(
                f"{self._name} is {found}, expected an Arrow IPC stream; "
                f"{remedy_of(kind) or 'write its rows by pyarrow.ipc.new_stream, as docs/streams.md shows'}"
            )
        return DatasetError(
            f"{self._name} goes on behind the mark of its end, at byte {self._taken:,}, with {found}, expected "
            "nothing, or another Arrow IPC stream of the same columns"
        )


def _may_begin_stream(begin: bytes) -> bool:
    if CONTINUATION.startswith(begin[:4]):
        return True
    old = len(begin) >= 4 and 0 < int.from_bytes(begin[:4], "little") <= MAX_METADATA_BYTES
    return old and kind_of(begin) is None


class _Lost(Exception):
    """No more bytes come, in the middle of a message or between two."""
