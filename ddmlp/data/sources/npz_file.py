"""Arrays in an .npz file, plain or compressed, such as Keras' mnist.npz. Nothing is unpickled."""

import math
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from math import isqrt
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.manifest import MAX_CLASSES, MAX_PIXELS
from ddmlp.data.npy import MOST, NpyHeader
from ddmlp.data.sources import Rows
from ddmlp.data.sources.parts import Parts
from ddmlp.errors import DatasetError, printable, text_of

BATCH_BYTES = 1 << 20  # of pixels, at a time
TRAIN = ("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")
TEST = ("x_test", "y_test"), ("test_images", "test_labels")
MAX_MEMBERS = 1_000
COPY = "get a fresh copy of the file"
_ENCRYPTED = 0x1  # a flag of a member
# Raised by zipfile, which reads damaged files in many ways.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, RuntimeError, MemoryError,
    KeyError, OSError,
)  # fmt: skip


def find_arrays(path: Path) -> Parts:
    """Find the arrays of images and labels in a file, by the names that TRAIN and TEST list.

    Raises
    ------
    DatasetError
        The file is damaged, or has arrays of other names.
    """
    with _naming(path), zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    names = {name.removesuffix(".npy") for name in members}
    train = next((pair for pair in TRAIN if names.issuperset(pair)), None)
    if train is None or len(names) != len(members):
        shown = printable(", ".join(sorted(members)[:10])) or "no arrays"
        raise DatasetError(
            f"{path} has {shown}, expected the arrays x_train, y_train, x_test and y_test, or images and labels; save "
            "them by numpy.savez_compressed, by these names"
        )
    test = next((pair for pair in TEST if names.issuperset(pair)), None)
    return Parts(NpzArrays(path, *train), NpzArrays(path, *test) if test else None)


class NpzArrays(NamedTuple):
    """An array of images and an array of labels in an .npz file, by their names."""

    path: Path
    images: str
    labels: str

    def open(self) -> "OpenArrays":
        """Open the file; raises DatasetError if an array is missing or damaged, or they do not match."""
        return OpenArrays(self)


class OpenArrays:
    """Arrays in an open .npz file that match each other: a `FiniteSource`. They are read in chunks."""

    class_names: tuple[str, ...] | None = None

    def __init__(self, arrays: NpzArrays) -> None:
        self._arrays, self._path = arrays, arrays.path
        with _naming(arrays.path), ExitStack() as opening:
            self._archive = opening.enter_context(zipfile.ZipFile(arrays.path))
            images, labels = self._header(arrays.images), self._header(arrays.labels)
            self._stack = opening.pop_all()
        shape = images.shape[:3] if images.shape[3:] == (1,) else images.shape  # one channel of colour is grey
        if len(shape) == 2 and isqrt(shape[1]) ** 2 == shape[1]:
            shape = shape[0], isqrt(shape[1]), isqrt(shape[1])
        if len(shape) != 3 or not 1 <= math.prod(shape[1:]) <= MAX_PIXELS or not shape[0]:
            raise self._error(
                arrays.images, f"has the shape {images.shape}", f"(rows, height, width) of 1 to {MAX_PIXELS:,} pixels"
            )
        if labels.shape not in ((shape[0],), (shape[0], 1)):
            raise self._error(arrays.labels, f"has the shape {labels.shape}", f"({shape[0]},), a label for each image")
        self.rows, self.image_shape = shape[0], (shape[1], shape[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def count_classes(self) -> int:
        """Return one more than the highest label, at most MAX_CLASSES."""
        return min(MAX_CLASSES, 1 + max(int(part.max()) for part in self._parts(self._arrays.labels, BATCH_BYTES)))

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order; raises DatasetError for invalid values, and for a damaged file."""
        size = max(1, BATCH_BYTES // math.prod(self.image_shape))
        with (
            closing(self._parts(self._arrays.images, size)) as images,
            closing(self._parts(self._arrays.labels, size)) as labels,
        ):
            for first, some, classed in zip(range(0, self.rows, size), images, labels, strict=True):
                pixels, numbers = some.reshape(len(some), *self.image_shape), classed.reshape(len(classed))
                self._check(self._arrays.images, pixels, first, 255, "scale them to 0 to 255 and round them")
                self._check(self._arrays.labels, numbers, first, classes - 1, "number the classes from 0")
                yield Rows(pixels.astype(np.uint8, copy=False), numbers.astype(np.uint8, copy=False))

    def _check(self, name: str, values: NDArray[Any], first: int, most: int, remedy: str) -> None:
        wrong = (values < 0) | (values > most)
        if wrong.any():
            place = tuple(int(index[0]) for index in np.nonzero(wrong))
            raise self._error(name, f"has {values[place]} in row {first + place[0]:,}", f"0 to {most}", remedy)

    def _header(self, name: str) -> NpyHeader:
        """Return the header of an array; raises DatasetError if it cannot be read in chunks of rows."""
        member = self._archive.getinfo(f"{name}.npy")
        if member.flag_bits & _ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._error(name, "is encrypted or compressed in another way", "the format of numpy.savez_compressed")
        with self._archive.open(member) as file:
            try:
                header = NpyHeader.parse(file.read(MOST))
            except ValueError as error:
                raise self._error(name, f"is {error}", "integers from 0 to 255") from None
        dtype = np.dtype(header.dtype)
        if dtype.kind not in "iu":
            raise self._error(name, f"is {dtype}", "integers from 0 to 255", "round and convert them")
        if header.columns and len(header.shape) > 1:
            raise self._error(name, "is in column-major order", "rows one after the other", "save a C-contiguous copy")
        if member.file_size != header.size + math.prod(header.shape) * dtype.itemsize:
            raise self._error(name, f"has {member.file_size:,} bytes", f"an array of the shape {header.shape}", COPY)
        return header

    def _parts(self, name: str, rows: int) -> Generator[NDArray[Any], None, None]:
        """Yield an array in parts of at most `rows` rows."""
        header = self._header(name)
        dtype = np.dtype(header.dtype)
        item = dtype.itemsize * math.prod(header.shape[1:])
        with _naming(self._path), self._archive.open(f"{name}.npy") as file:
            _read(file, header.size)
            for first in range(0, header.shape[0], rows):
                count = min(rows, header.shape[0] - first)
                yield np.frombuffer(_read(file, count * item), dtype).reshape(count, *header.shape[1:])
            file.read(1)  # compares the CRC

    def _error(self, name: str, found: str, expected: str, remedy: str = "save it again") -> DatasetError:
        return DatasetError(f"{self._path}: the array {name} {found}, expected {expected}; {remedy}")


def _read(file: IO[bytes], size: int) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise EOFError("an array is cut off")
    return found


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise an error of a damaged file from the block as a DatasetError that names the file."""
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, zipfile.BadZipFile):
            raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
        why = text_of(error)
        raise DatasetError(f"{path} is damaged: {why}; {COPY}") from None
