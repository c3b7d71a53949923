"""Datasets of Ray Data, copied into a temporary file while they are iterated over once."""

import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from math import prod
from pathlib import Path
from typing import Any

import pyarrow as pa

from ddmlp.data.manifest import MAX_CLASSES
from ddmlp.data.remote import SPARE_BYTES
from ddmlp.data.shards import ShardWriter
from ddmlp.data.sources import Rows
from ddmlp.data.sources.arrow_columns import IMAGES, LABEL, Columns, class_names
from ddmlp.data.sources.pixel_lists import shown
from ddmlp.data.sources.ray_tensors import without_tensors
from ddmlp.data.sources.table_files import BATCH_BYTES, OpenTables
from ddmlp.errors import DatasetError


class RayDataset:
    """A dataset of Ray Data: a `Convertible`.

    Two iterations over it may differ in their order, or even in their rows. So there is one, and `open` writes what it
    yields into a temporary file. During it, blocks are in their order, not in that in which they are ready.

    Parameters
    ----------
    dataset : ray.data.Dataset
        The dataset, with the columns that `Columns` describes. Images may also be tensors of Ray Data.
    name : str
        The name of the data in messages.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        self._dataset, self.name = dataset, name

    @classmethod
    def of(cls, data: Any, name: str) -> "RayDataset | None":
        """Return the source of a dataset of Ray Data; None for anything else. Does not import Ray."""
        return cls(data, name) if isinstance(data, getattr(sys.modules.get("ray.data"), "Dataset", ())) else None

    def open(self) -> OpenTables:
        """Iterate over the dataset.

        Raises
        ------
        DatasetError
            The columns or their values are invalid, there are no rows, Ray cannot compute them, or they do not fit on
            the disk.
        """
        folder = tempfile.TemporaryDirectory(prefix="ddmlp-")
        try:
            path = Path(folder.name) / "rows.arrow"
            return _Copy(folder, path, self._copy(path), self.name)
        except BaseException:
            folder.cleanup()
            raise

    def _copy(self, path: Path) -> tuple[str, ...] | None:
        """Write the rows into a file; returns the names of the classes, if the dataset has them."""
        writer, names = None, None
        try:
            with closing(self._batches()) as batches:
                for rows, schema in self._decoded(batches):
                    if writer is None:
                        writer, names = ShardWriter(path, rows.pixels.shape[1:]), class_names(schema)
                    writer.write(*rows)
                    if shutil.disk_usage(path.parent).free < SPARE_BYTES:
                        raise DatasetError(
                            f"{self.name}: the disk of {path.parent.parent} is full after {writer.rows:,} rows of the "
                            "dataset; free some, or set TMPDIR"
                        )
            if writer is None:
                raise DatasetError(f"{self.name} has no rows, expected at least one")
            writer.close()
        except BaseException:
            if writer is not None:
                writer.abandon()
            raise
        return names

    def _decoded(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[Rows, pa.Schema]]:
        """Yield the rows of record batches, about 1 MiB of pixels at a time, with their schema."""
        columns: Columns | None = None
        schema, shape, row = None, None, 0
        for batch in batches:
            begin = 0
            while begin < len(batch):
                part = batch.slice(begin, max(1, BATCH_BYTES // prod(shape)) if shape else 1)
                try:
                    self._refuse_nulls(part, row)
                    part = without_tensors(part, IMAGES, self.name, row)
                    if columns is None or part.schema != schema:
                        columns, schema = Columns(part.schema, self.name, MAX_CLASSES), part.schema
                        columns.row = row
                    rows = columns.decode(part)
                except pa.ArrowException as error:
                    raise DatasetError(f"{self.name}: {shown(error)}") from error
                found = rows.pixels.shape[1:]
                if found != (shape := shape or found):
                    raise DatasetError(
                        f"{self.name}: the image of row {row:,} has the shape {found}, expected {shape} as in row 0; "
                        "give all images one size"
                    )
                yield rows, part.schema
                begin, row = begin + len(part), row + len(part)

    def _refuse_nulls(self, batch: pa.RecordBatch, row: int) -> None:
        """Raise DatasetError for a column of nulls only: Arrow has a type for those, which says less."""
        for column in (*IMAGES, LABEL):
            if column in batch.schema.names and pa.types.is_null(batch.schema.field(column).type):
                raise DatasetError(f"{self.name}: the {column} of row {row:,} is null, expected a value")

    def _batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Yield the blocks of the dataset, in their order."""
        if not sys.modules["ray"].is_initialized():
            raise DatasetError(
                f"{self.name} is a dataset of Ray Data, but this program is not connected to a Ray; connect with "
                "ray.init(), and make the dataset again"
            )
        options = self._dataset.context.execution_options
        before, options.preserve_order = options.preserve_order, True
        try:
            for table in self._dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from table.to_batches()
        except Exception as error:  # Ray raises many kinds, also for what the functions of the dataset raise
            cause = str(error).partition("\n\nThe above exception")[0]  # the first of the tracebacks of another process
            why = shown(cause.strip().rpartition("\n")[2] or type(error).__name__)
            raise DatasetError(f"{self.name}: Ray cannot compute the dataset: {why}") from error
        finally:
            options.preserve_order = before


class _Copy(OpenTables):
    """The rows that were copied into a file, which is removed at the end."""

    def __init__(
        self, folder: "tempfile.TemporaryDirectory[str]", path: Path, names: tuple[str, ...] | None, name: str
    ) -> None:
        super().__init__((path,))
        self._stack.callback(folder.cleanup)
        self.class_names, self._path, self._name = names, path, name

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order; raises DatasetError for a label outside the classes."""
        try:
            yield from super().batches(classes)
        except DatasetError as error:
            raise DatasetError(str(error).replace(str(self._path), self._name)) from None
