"""Folders of pictures, one folder for each class: CLASS/NAME.png, also below train/ and test/."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from ddmlp.data.manifest import MAX_CLASSES, check_names
from ddmlp.data.picture import picture_pixels
from ddmlp.data.sources import Rows
from ddmlp.data.sources.parts import Parts
from ddmlp.errors import DatasetError, printable

BATCH_BYTES = 1 << 20  # of pixels, at a time
MAX_FILE_BYTES = 1 << 26  # of a picture
IGNORED = {"Thumbs.db", "desktop.ini"}  # and files whose names begin with a dot: systems write them unasked
TRAIN, TEST = ("train", "training"), ("test", "testing")


def find_pictures(folder: Path) -> Parts:
    """Find the classes in a folder, or in the folders train/ and test/ in it.

    The names of the folders, sorted, are the names of the classes 0, 1, ...; numbers are sorted as numbers.

    Raises
    ------
    DatasetError
        There are no classes, or too many, or the test data have others.
    """
    train, test = (next((folder / name for name in names if (folder / name).is_dir()), None) for names in (TRAIN, TEST))
    if train is None:
        return Parts(PictureFolder(folder, _classes(folder)))
    names = _classes(train)
    if test is not None and (unknown := sorted(set(_classes(test)) - set(names))):
        raise DatasetError(
            f"{test} has the class {printable(unknown[0])}, expected only those of {train}: {', '.join(names[:10])}"
        )
    return Parts(PictureFolder(train, names), PictureFolder(test, names) if test is not None else None)


def visible(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, without files that systems write unasked."""
    return sorted(path for path in folder.iterdir() if path.name not in IGNORED and not path.name.startswith("."))


def _classes(folder: Path) -> tuple[str, ...]:
    """Return the names of the classes in a folder, sorted."""
    for path in (found := visible(folder)):
        if not path.is_dir():
            raise DatasetError(
                f"{path} is in no folder of a class, expected {folder}/CLASS/{path.name}; move or remove it"
            )
    names = [path.name for path in found]
    if names and all(name.isascii() and name.isdigit() for name in names):
        names.sort(key=int)
    if not 1 <= len(names) <= MAX_CLASSES:
        raise DatasetError(f"{folder} has {len(names)} folders, expected 1 to {MAX_CLASSES}, one for each class")
    try:
        check_names(names, len(names))
    except ValueError as error:
        raise DatasetError(f"{folder}: {error}; rename its folder") from None
    return tuple(names)


class PictureFolder(NamedTuple):
    """A folder with a folder of pictures for each class; some classes may have none."""

    path: Path
    names: tuple[str, ...]

    def open(self) -> "OpenPictures":
        """List the pictures, and read the first; raises DatasetError if there are none."""
        return OpenPictures(self)


class OpenPictures:
    """A listed folder of pictures: a `FiniteSource`. The rows are in the order of the names of the files."""

    def __init__(self, folder: PictureFolder) -> None:
        numbered = folder.names == tuple(map(str, range(len(folder.names))))
        self.class_names = None if numbered else folder.names  # names that are the numbers tell nothing
        self._classes = len(folder.names)
        found = [
            (path.name, label, path)
            for label, name in enumerate(folder.names)
            if (folder.path / name).is_dir()
            for path in visible(folder.path / name)
        ]
        found.sort()  # so the classes are mixed, and names that are numbers give back their order
        self._files = [(path, label) for _, label, path in found]
        self.rows = len(self._files)
        if not self.rows:
            raise DatasetError(f"{folder.path} has folders without pictures, expected at least one, CLASS/NAME.png")
        height, width = _pixels(self._files[0][0], None).shape
        self.image_shape = height, width

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def count_classes(self) -> int:
        """Return the number of classes."""
        return self._classes

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order; raises DatasetError for a file that is no picture, or of another size."""
        if self._classes > classes:
            raise DatasetError(
                f"found {self._classes} folders of classes, expected at most {classes}; set more classes"
            )
        size = max(1, BATCH_BYTES // (self.image_shape[0] * self.image_shape[1]))
        for begin in range(0, self.rows, size):
            part = self._files[begin : begin + size]
            pixels = np.empty((len(part), *self.image_shape), np.uint8)
            for index, (path, _) in enumerate(part):
                pixels[index] = _pixels(path, self.image_shape)
            yield Rows(pixels, np.array([label for _, label in part], np.uint8))


def _pixels(path: Path, shape: tuple[int, int] | None) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}; expected a picture") from None
    if len(content) > MAX_FILE_BYTES:
        raise DatasetError(f"{path} has more than {MAX_FILE_BYTES:,} bytes, expected a picture; replace or remove it")
    return picture_pixels(content, str(path), shape)
