"""Files of Arrow tables: Parquet, Arrow IPC (Feather)."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc

from ddmlp.data.manifest import MAX_CLASSES
from ddmlp.data.signatures import ARROW_FILE, ARROW_STREAM, PARQUET, kind_of_file
from ddmlp.data.sources import Rows
from ddmlp.data.sources.arrow_columns import Columns, class_names
from ddmlp.data.sources.arrow_file import COPY, DAMAGE, ArrowFile
from ddmlp.data.sources.parquet_file import ParquetFile
from ddmlp.data.sources.parts import Parts
from ddmlp.data.sources.pixel_lists import shown
from ddmlp.errors import DatasetError

BATCH_BYTES = 1 << 20  # of pixels, at a time
LABEL_ROWS = 1 << 16  # of the column of labels alone, at a time


_SPLIT = re.compile(r"(train|test|validation|val|dev)(?![a-z])", re.IGNORECASE)  # as Hugging Face names files


def find_tables(path: Path) -> Parts:
    """Find the tables at a path: a file; or a folder of files, in the order of their names.

    The files of a folder are those of one dataset; or of several, if they have Hugging Face's names, such as
    train-00000-of-00002.parquet, or are in the folders train/ and test/.

    Raises
    ------
    DatasetError
        Some files have such names, and others not, or there are no training data.
    """
    if not path.is_dir():
        return Parts(TableFiles((path,)))
    if is_of_tables(path / "train"):
        test = find_tables(path / "test").train if is_of_tables(path / "test") else None
        return Parts(find_tables(path / "train").train, test)
    splits: dict[str, list[Path]] = {}
    for each in sorted(each for each in path.iterdir() if each.suffix in SUFFIXES):
        named = _SPLIT.match(each.name)
        splits.setdefault(named[1].lower() if named else "", []).append(each)
    if len(splits) == 1:
        (files,) = splits.values()
        return Parts(TableFiles(tuple(files)))
    if "" in splits or "train" not in splits:
        shown = ", ".join(each.name for files in splits.values() for each in files[:1])
        raise DatasetError(f"{path} has {shown}, expected files of one dataset, or train-... and test-...; rename them")
    ignored = sorted(splits.keys() - {"train", "test"})
    about = f"{path}: without the files {', '.join(f'{each}-...' for each in ignored)}" if ignored else ""
    test = TableFiles(tuple(splits["test"])) if "test" in splits else None
    return Parts(TableFiles(tuple(splits["train"])), test, about=about)


def is_of_tables(folder: Path) -> bool:
    """Whether a folder has files of tables, by their names."""
    return folder.is_dir() and any(each.suffix in SUFFIXES for each in folder.iterdir())


class TableFile(Protocol):
    """An open file of one table. `rows` is the number of its rows."""

    path: Path
    schema: pa.Schema
    rows: int

    def batches(self, columns: list[int], rows: int) -> Iterator[pa.RecordBatch]: ...

    def close(self) -> None: ...


SUFFIXES = (".parquet", ".arrow", ".feather")  # of the files of a folder
OPEN: dict[str | None, Callable[[Path], TableFile]] = {
    PARQUET: ParquetFile,
    ARROW_FILE: ArrowFile,
    ARROW_STREAM: ArrowFile,
}


def _open(path: Path) -> TableFile:
    if (kind := kind_of_file(path)) not in OPEN:
        raise DatasetError(f"{path} is {kind or 'of an unknown format'}, expected {', '.join(map(str, OPEN))}")
    return OPEN[kind](path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise an error of Arrow's from the block as a DatasetError that names the file."""
    try:
        yield
    except DAMAGE as error:
        raise DatasetError(f"{path} is damaged: {shown(error)}; {COPY}") from error


def _columns(file: TableFile, classes: int) -> Columns:
    with _naming(file.path):
        return Columns(file.schema, str(file.path), classes)


def _decoded(columns: Columns, batch: pa.RecordBatch, path: Path) -> Rows:
    with _naming(path):
        return columns.decode(batch)


class TableFiles(NamedTuple):
    """Files of tables with the columns that `Columns` describes, in the order of their rows."""

    paths: tuple[Path, ...]

    def open(self) -> "OpenTables":
        """Open all files; raises DatasetError if one is missing or damaged, or they do not match."""
        return OpenTables(self.paths)


class OpenTables:
    """Open files of tables: a `FiniteSource`."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        with ExitStack() as opening:
            self._files: list[TableFile] = []
            for path in paths:
                file = _open(path)
                opening.callback(file.close)
                if file.rows:
                    self._files.append(file)
            self.rows = sum(file.rows for file in self._files)
            if not self.rows:
                raise DatasetError(f"{paths[0]} has no rows, expected at least one")
            self.image_shape = self._shape_of(self._files[0])
            for file in self._files[1:]:
                if (found := self._shape_of(file)) != self.image_shape:
                    raise DatasetError(
                        f"{file.path} has images of {found[0]} x {found[1]} pixels, expected {self.image_shape[0]} x "
                        f"{self.image_shape[1]} as in {self._files[0].path}; convert them into two datasets"
                    )
            self.class_names = class_names(self._files[0].schema)
            self._stack = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def count_classes(self) -> int:
        """Return one more than the highest label, at most MAX_CLASSES."""
        if self.class_names:
            return len(self.class_names)
        highest = 0
        for file in self._files:
            label = _columns(file, MAX_CLASSES).indices[1]
            for batch in file.batches([label], LABEL_ROWS):
                highest = max(highest, pc.max(batch.column(0)).as_py() or 0)
        return min(highest + 1, MAX_CLASSES)

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order; raises DatasetError for invalid rows, and for a damaged file."""
        size = max(1, BATCH_BYTES // (self.image_shape[0] * self.image_shape[1]))
        for file in self._files:
            columns = _columns(file, classes)
            for batch in file.batches(columns.indices, size):
                yield _decoded(columns, batch, file.path)

    @staticmethod
    def _shape_of(file: TableFile) -> tuple[int, int]:
        """Return the (height, width) of the first image of a file, which is not empty."""
        columns = _columns(file, MAX_CLASSES)
        for batch in file.batches(columns.indices, 1):
            _decoded(columns, batch, file.path)
            break
        assert columns.image_shape is not None, "a file with rows has a first one"
        return columns.image_shape
