"""CSV files with a row of pixels and a label on each line, such as Kaggle's train.csv of MNIST."""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from ddmlp.data.manifest import MAX_CLASSES, MAX_PIXELS
from ddmlp.data.sources import Rows
from ddmlp.data.sources.parts import Parts
from ddmlp.data.sources.pixel_lists import shown
from ddmlp.errors import DatasetError

LABELS = {"label", "class", "target", "y"}  # what the column of labels may be called, in any case
MAX_LINE = 1 << 26  # bytes
BLOCK_BYTES = 1 << 20  # that are parsed at a time, at least
NUMBER = re.compile(r"\s*\d+\s*")


def find_csv(path: Path) -> Parts:
    """Return the rows of a CSV file."""
    return Parts(CsvFile(path))


class CsvFile(NamedTuple):
    """A CSV file."""

    path: Path

    def open(self) -> "OpenCsv":
        """Open the file, and count its rows; raises DatasetError if it is missing, or its columns are others."""
        return OpenCsv(self.path)


class OpenCsv:
    """A CSV file whose columns are known: a `FiniteSource`.

    The values are separated by commas. If the first line has names, the label's column is called label, class, target
    or y, and the others are pixels in the order of their numbers, such as pixel0, pixel1, ..., or 1x1, 1x2, .... If all
    lines are numbers, the label is the first or the last of them: the one that is not the same on all lines, as a
    corner of the images usually is.
    """

    class_names: tuple[str, ...] | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        first = self._first_line()
        self._named = not all(NUMBER.fullmatch(value) for value in first)
        self._columns = first if self._named else [f"column {index + 1}" for index in range(len(first))]
        self._block = max(BLOCK_BYTES, 4 * sum(len(value) + 3 for value in first))
        ends = [self._columns[0], self._columns[-1]]
        found = [self._label()] if self._named else ends[: len(first)]
        self.rows, ranges = self._survey(found)
        if not self.rows:
            raise DatasetError(f"{path} has no rows, expected at least one")
        if len(found) > 1:
            found = [name for name in found if len(set(ranges[name])) > 1]
            if len(found) != 1:
                raise DatasetError(
                    f"{path} has no names of columns, and {'both' if found else 'neither'} the first and the last "
                    "column could be the label, expected one; add a first line with the names label,pixel0,pixel1,..."
                )
        self._label_name = found[0]
        self._highest = ranges[self._label_name][1]
        self._pixels = [name for name in self._columns if name != self._label_name]
        self.image_shape = self._shape()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def count_classes(self) -> int:
        """Return one more than the highest label, at most MAX_CLASSES."""
        return min(self._highest + 1, MAX_CLASSES)

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order; raises DatasetError for a line with other values."""
        line = 2 if self._named else 1
        for batch in self._read(self._columns):
            labels = batch.column(self._label_name).to_numpy()
            if (wrong := np.flatnonzero(labels >= classes)).size:
                raise DatasetError(
                    f"{self.path}, line {line + int(wrong[0]):,}: the label is {labels[wrong[0]]}, expected 0 to "
                    f"{classes - 1}; number the classes from 0"
                )
            pixels = np.empty((len(batch), len(self._pixels)), np.uint16)
            for index, name in enumerate(self._pixels):
                pixels[:, index] = batch.column(name).to_numpy()
            if (pixels > 255).any():
                row, index = (int(found[0]) for found in np.nonzero(pixels > 255))
                raise DatasetError(
                    f"{self.path}, line {line + row:,}: {self._pixels[index]} is {pixels[row, index]}, expected 0 to "
                    "255; scale the pixels"
                )
            yield Rows(pixels.astype(np.uint8).reshape(-1, *self.image_shape), labels.astype(np.uint8))
            line += len(batch)

    def _first_line(self) -> list[str]:
        """Return the values of the first line."""
        with self.path.open("rb") as file:
            text = file.readline(MAX_LINE)
        try:
            values = next(csv.reader([text.decode("utf-8-sig")], strict=True))
        except (UnicodeDecodeError, csv.Error, StopIteration):
            values = []
        if not 2 <= len(values) <= MAX_PIXELS + 1:
            raise DatasetError(
                f"{self.path}, line 1: found {len(values)} values, expected a label and pixels with commas between "
                "them; write the file with commas"
            )
        return [value.strip() for value in values]

    def _label(self) -> str:
        """Return the name of the label's column, by the first line."""
        found = [name for name in self._columns if name.lower() in LABELS]
        if len(found) != 1 or len(set(self._columns)) != len(self._columns):
            raise DatasetError(
                f"{self.path}, line 1: {len(found)} columns are called label, class, target or y, expected one, and "
                f"all names different, or a file without names; found {shown(', '.join(self._columns))}"
            )
        return found[0]

    def _shape(self) -> tuple[int, int]:
        """Return the (height, width) of the images, by the names and the number of the columns of pixels."""
        side, names = isqrt(len(self._pixels)), self._pixels
        if self._named and (last := re.fullmatch(r"(\d+)x(\d+)", names[-1])):
            height, width = int(last[1]), int(last[2])
            if names == [f"{row}x{column}" for row in range(1, height + 1) for column in range(1, width + 1)]:
                return height, width
        if self._named and (first := re.fullmatch(r"(.*?)(\d+)", names[0])):
            begin = int(first[2])
            expected = [f"{first[1]}{number}" for number in range(begin, begin + len(names))]
        else:
            expected = [] if self._named else names
        if wrong := [name for name, right in zip(names, expected or [""], strict=False) if name != right]:
            raise DatasetError(
                f"{self.path}, line 1: found the column {shown(wrong[0])!r}, expected a pixel, such as pixel0, pixel1, "
                "..., or 1x1, 1x2, ..., in order; remove other columns"
            )
        if side * side != len(names):
            raise DatasetError(
                f"{self.path} has {len(names)} columns of pixels, expected a square number, or names such as 1x1, 1x2, "
                "... in the first line"
            )
        return side, side

    def _survey(self, columns: list[str]) -> tuple[int, dict[str, tuple[int, int]]]:
        """Return the number of rows, and the lowest and the highest value of some columns."""
        rows, ranges = 0, dict.fromkeys(columns, (MAX_CLASSES, -1))
        for batch in self._read(columns):
            rows += len(batch)
            for name, (low, high) in ranges.items():
                found = pc.min_max(batch.column(name)).as_py()
                ranges[name] = min(low, found["min"]), max(high, found["max"])
        return rows, ranges

    def _read(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns, uint16; raises DatasetError for a line with other values."""
        with self._naming():
            reader = arrow_csv.open_csv(
                self.path,
                arrow_csv.ReadOptions(
                    use_threads=False,  # so that messages have the number of the line
                    block_size=self._block,
                    column_names=self._columns,
                    skip_rows=int(self._named),
                ),
                arrow_csv.ParseOptions(ignore_empty_lines=False),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.uint16()), include_columns=columns, null_values=[]
                ),
            )
            with reader:
                yield from reader

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Raise an error of Arrow's from the block as a DatasetError that names the file and the line."""
        try:
            yield
        except pa.ArrowException as error:
            text = str(error)
            value = re.match(r"In CSV column #(\d+): Row #(\d+): .* invalid value '(.*)'", text, re.DOTALL)
            if value and (number := int(value[1])) < len(self._columns):
                raise DatasetError(
                    f"{self.path}, line {int(value[2]):,}: {self._columns[number]} is {shown(repr(value[3]))}, "
                    "expected a whole number from 0 to 255; correct or remove the line"
                ) from error
            raise DatasetError(f"{self.path}: {shown(text.replace('Row #', 'line '))}; correct the file") from error
