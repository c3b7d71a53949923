"""Arrow IPC streams from other programs."""

from collections.abc import Callable, Iterator

import pyarrow as pa

from ddmlp.data.sources import Rows
from ddmlp.data.sources.arrow_columns import Columns
from ddmlp.data.sources.arrow_messages import NOT_STREAM, Messages, Readable
from ddmlp.data.sources.pixel_lists import shown
from ddmlp.errors import DatasetError


def read_stream(
    source: Readable, name: str, classes: int, reject: Callable[[int, str], None] | None = None
) -> Iterator[Rows]:
    """Yield the rows of a source, batch by batch, with pixels as views of the bytes that `source.read` returned.

    The source has one Arrow IPC stream, or several in sequence with the same columns, such as files joined by `cat`,
    or the output of a program that opens a writer for each batch. If the source ends anywhere else than after an
    end-of-stream marker, `source.lost` is the reason.

    Parameters
    ----------
    source : Readable
        The bytes.
    name : str
        The name of the source, with which error messages begin.
    classes : int
        The number of classes.
    reject : callable, optional
        Called with the number of each row with invalid values, and the reason; without it, the first one is an error.

    Raises
    ------
    DatasetError
        The bytes are not an Arrow IPC stream, are damaged, or have other columns than those that `Columns` describes.
    """
    messages = Messages(source, name)
    columns: Columns | None = None
    try:
        while (schema := messages.begin()) is not None:
            columns = Columns(schema, name, classes) if columns is None else columns.following(schema, messages.offset)
            # Other columns are not decompressed or checked.
            options = pa.ipc.IpcReadOptions(included_fields=columns.indices)
            for batch in pa.ipc.open_stream(pa.PythonFile(messages, mode="r"), options=options):
                if len(batch):
                    yield from _decoded(columns, batch, reject)
            if source.lost:
                return
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # by the operating system; Arrow's own errors have no errno
        raise DatasetError(f"{name}: {NOT_STREAM}, at byte {messages.offset:,}: {shown(error)}") from error


def _decoded(columns: Columns, batch: pa.RecordBatch, reject: Callable[[int, str], None] | None) -> Iterator[Rows]:
    """Yield the rows of a record batch: if some have invalid values, one by one without these."""
    first = columns.row
    try:
        yield columns.decode(batch)
    except DatasetError:
        if reject is None:
            raise
        for index in range(len(batch)):
            columns.row = first + index
            try:
                yield columns.decode(batch.slice(index, 1))
            except DatasetError as error:
                reject(first + index, str(error))
        columns.row = first + len(batch)
