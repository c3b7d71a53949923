"""Parquet files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from ddmlp.data.sources.pixel_lists import shown
from ddmlp.errors import DatasetError

BUFFER_BYTES = 1 << 20  # of a column that is read at a time


class ParquetFile:
    """An open Parquet file: a `TableFile`. It is read page by page, whatever the size of its row groups."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._naming():
            self._file = parquet.ParquetFile(
                path, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
            )
            self.schema: pa.Schema = self._file.schema_arrow
            self.rows: int = self._file.metadata.num_rows

    def close(self) -> None:
        self._file.close()

    def batches(self, columns: list[int], rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the columns with these indices, at most `rows` at a time; raises DatasetError for a damaged file."""
        names = [self.schema.names[index] for index in columns]
        with self._naming():
            found = 0
            for batch in self._file.iter_batches(rows, columns=names, use_threads=False):
                found += len(batch)
                yield batch
            if found != self.rows:
                raise DatasetError(f"{self.path} is damaged: it has {found:,} rows, expected {self.rows:,}")

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Raise an error of Arrow's from the block as a DatasetError that names the file."""
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # by the operating system; Arrow's own errors have no errno
            raise DatasetError(f"{self.path} is damaged: {shown(error)}; get a fresh copy of the file") from error
