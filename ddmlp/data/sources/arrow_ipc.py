"""Arrow IPC streams, as other programs send them."""

from collections.abc import Iterator

import pyarrow as pa

from ddmlp.data.sources import Rows
from ddmlp.data.sources.arrow_columns import Columns, shown
from ddmlp.data.sources.arrow_messages import NOT_STREAM, Messages, Readable
from ddmlp.errors import DatasetError


def read_stream(source: Readable, name: str, classes: int) -> Iterator[Rows]:
    """The rows that the source has, a record batch at a time, the pixels as views of what `source.read` gave.

    It has an Arrow IPC stream, or several of the same columns, one behind the other: what `cat` makes of files, or a
    program that opens a writer for each batch. Columns: see `Columns`. The rows end where the source ends; if that is
    not directly behind the mark of a stream's end, `source.lost` says why. Raises DatasetError, beginning with `name`,
    for anything else.
    """
    messages = Messages(source, name)
    columns: Columns | None = None
    try:
        while (schema := messages.begin()) is not None:
            columns = Columns(schema, name, classes) if columns is None else columns.following(schema, messages.offset)
            # Other columns are neither decompressed nor checked.
            options = pa.ipc.IpcReadOptions(included_fields=columns.indices)
            for batch in pa.ipc.open_stream(pa.PythonFile(messages, mode="r"), options=options):
                if len(batch):
                    yield columns.decode(batch)
            if source.lost:
                return
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system, by way of the source; Arrow's own have no number
        raise DatasetError(f"{name}: {NOT_STREAM}, at byte {messages.offset:,}: {shown(error)}") from error
