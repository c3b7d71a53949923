"""Arrow IPC streams, as other programs send them."""

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

from ddmlp.data.sources import Rows
from ddmlp.data.sources.arrow_columns import decode, shown
from ddmlp.errors import DatasetError


class Readable(Protocol):
    """Where bytes come from: `read` gives as many as asked, and fewer only if no more will come."""

    closed: bool

    def read(self, size: int) -> memoryview: ...


def read_stream(source: Readable, name: str, classes: int) -> Iterator[Rows]:
    """The rows of the stream, a record batch at a time, the pixels as views of what `source.read` gave.

    Columns: see `decode`. Raises DatasetError, beginning with `name`, for what is no such stream. Ends at the stream's
    end-of-stream marker, and also if no more bytes come between two messages: `source` knows which.
    """
    try:
        # It asks for each message's bytes in one read, and for none beyond the marker.
        reader = pa.ipc.open_stream(pa.PythonFile(source, mode="r"))
        yield from decode(reader.schema, reader, name, classes)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system, by way of the source; Arrow's own have no number
        raise DatasetError(f"{name} is damaged, or no Arrow IPC stream: {shown(error)}") from error
