"""Arrow IPC files, also known as Feather, and files with an Arrow IPC stream."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ddmlp.data.sources.arrow_messages import END_OF_FILE, Messages
from ddmlp.data.sources.pixel_lists import shown
from ddmlp.errors import DatasetError

MAGIC = b"ARROW1"
BEGIN = len(MAGIC) + 2  # bytes before the stream in a file of the file format
COPY = "get a fresh copy of the file"
DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, MemoryError)  # raised by Arrow for a damaged file


class ArrowFile:
    """An open Arrow IPC file: a `TableFile`.

    A file of the file format is the magic, a stream, and a footer that repeats where the stream's messages are. So both
    formats are read as a stream, whose messages are checked before Arrow reads them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = _MappedBytes(path)
        try:
            self._footed = self._bytes.map[: len(MAGIC)] == MAGIC
            messages = self._messages()
            schema = messages.begin()
            if schema is None:
                raise DatasetError(f"{path} is cut off in its schema; {COPY}")
            self.schema: pa.Schema = schema
            smallest = max(0, schema.get_field_index("label"))  # of the columns, if it exists
            self.rows = sum(map(len, self.batches([smallest])))
        except DAMAGE as error:
            self.close()
            raise DatasetError(f"{path} is damaged: {shown(error)}; {COPY}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._bytes.close()

    def batches(self, columns: list[int], rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the columns with these indices, at most `rows` at a time; raises DatasetError for a damaged file."""
        messages = self._messages()
        try:
            messages.begin()
            options = pa.ipc.IpcReadOptions(included_fields=columns)
            for batch in pa.ipc.open_stream(pa.PythonFile(messages, mode="r"), options=options):
                for begin in range(0, len(batch), rows or len(batch)):
                    yield batch.slice(begin, rows)
        except DAMAGE as error:
            raise DatasetError(
                f"{self.path} is damaged, at byte {messages.offset:,}: {shown(error)}; {COPY}"
            ) from error
        self._check_end()

    def _messages(self) -> Messages:
        self._bytes.seek(BEGIN if self._footed else 0)
        return Messages(self._bytes, str(self.path))

    def _check_end(self) -> None:
        """Raise DatasetError unless the end-of-stream marker is followed by the end of the file, or by a footer."""
        rest = self._bytes.map[self._bytes.place :]
        if self._bytes.lost:
            raise DatasetError(f"{self.path} is cut off after byte {len(self._bytes.map):,}; {COPY}")
        size = int.from_bytes(rest[-len(MAGIC) - 4 : -len(MAGIC)], "little")
        whole = rest.endswith(MAGIC) and size == len(rest) - len(MAGIC) - 4 if self._footed else not rest
        if not whole:
            raise DatasetError(
                f"{self.path} continues after its end-of-stream marker, at byte {self._bytes.place:,}, with "
                f"{len(rest):,} bytes, expected {'its footer' if self._footed else 'nothing'}; {COPY}"
            )


class _MappedBytes:
    """The bytes of a file, mapped into memory: `Readable`."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.place = 0
        self.lost: str | None = None

    def seek(self, place: int) -> None:
        self.place, self.lost = place, None

    def read(self, size: int) -> memoryview:
        found = memoryview(self.map)[self.place : self.place + size]
        self.place += len(found)
        if len(found) < size:
            self.lost = END_OF_FILE
        return found

    def peek(self, size: int) -> bytes:
        return self.map[self.place : self.place + size]

    def close(self) -> None:
        try:
            self.map.close()
        except BufferError:  # an array that was read is still in use, and keeps the map
            return
