"""Pairs of IDX files: one with images, one with their labels."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.idx import IMAGES, LABELS, IdxReader
from ddmlp.data.manifest import MAX_CLASSES, MAX_PIXELS
from ddmlp.data.signatures import BEGIN, kind_of, remedy_of
from ddmlp.data.sources import Rows
from ddmlp.errors import IdxError

CHUNK_BYTES = 1 << 20  # of pixels per read
SHOWN = 5  # file names in a message about a folder
QMNIST_LABELS = 2  # their rank


class Pair(NamedTuple):
    """An IDX file of images, and the IDX file of their labels."""

    images: Path
    labels: Path

    def open(self) -> "OpenPair":
        """Open both files; raises IdxError if one is missing or damaged, or they do not match."""
        return OpenPair(self)


def find_pairs(folder: Path, train: str = "train", test: str = "t10k") -> tuple[Pair, Pair]:
    """Find the training pair and the test pair in a folder with four IDX files.

    Parameters
    ----------
    folder : Path
        The folder.
    train, test : str
        The prefixes of the files' names; the defaults are those of MNIST, as in "train-images-idx3-ubyte.gz".

    Raises
    ------
    IdxError
        A file is missing; the message lists the expected names.
    """
    first, second = (
        Pair(_find(folder, f"{stem}-images", IMAGES), _find(folder, f"{stem}-labels", LABELS)) for stem in (train, test)
    )
    return first, second


class OpenPair:
    """A pair of open IDX files that match each other: a `FiniteSource`."""

    class_names: tuple[str, ...] | None = None

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        with ExitStack() as opening:
            self._images = opening.enter_context(IdxReader(pair.images))
            self._labels = opening.enter_context(IdxReader(pair.labels))
            self._check()
            self._stack = opening.pop_all()
        self.rows = len(self._images)
        self.image_shape = (self._images.shape[1], self._images.shape[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def count_classes(self) -> int:
        """Return one more than the highest label."""
        with IdxReader(self.pair.labels) as labels:
            return min(MAX_CLASSES, 1 + max(int(_labels(chunk).max()) for chunk in labels.chunks(CHUNK_BYTES)))

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order; raises IdxError for a label outside the classes, and for a damaged file."""
        start = self._labels.offset
        chunk = max(1, CHUNK_BYTES // (self.image_shape[0] * self.image_shape[1]))
        rows = zip(self._images.chunks(chunk), self._labels.chunks(chunk), strict=True)
        for index, (pixels, items) in enumerate(rows):
            labels = _labels(items)
            if (wrong := np.flatnonzero((labels < 0) | (labels >= classes))).size:
                row = index * chunk + int(wrong[0])
                place = start + row * items[0].nbytes
                raise IdxError(
                    f"{self.pair.labels}: the label at byte {place} (row {row}) is {labels[wrong[0]]}, "
                    f"expected 0 to {classes - 1}; --classes sets the number of classes"
                )
            yield Rows(pixels, labels.astype(np.uint8, copy=False))

    def _check(self) -> None:
        images, labels = self._images, self._labels
        for reader, what, ranks in [(images, "images", (IMAGES,)), (labels, "labels", (LABELS, QMNIST_LABELS))]:
            if (found := len(reader.shape)) not in ranks:
                raise IdxError(f"{reader.path}: found a header of rank {found}, expected {what}, of rank {ranks[0]}")
        if len(images) != len(labels):
            raise IdxError(
                f"{images.path} has {len(images)} images, but {labels.path} has {len(labels)} labels; expected the "
                "same number"
            )
        rows, height, width = images.shape
        if 0 in images.shape:
            raise IdxError(
                f"{images.path} has {rows} images of {height} x {width} pixels, expected at least one, of 1 to "
                f"{MAX_PIXELS:,} pixels"
            )


def _labels(items: NDArray[np.uint8]) -> NDArray[np.integer]:
    """Return the classes that items of a file of labels have: the first number of each of QMNIST's."""
    return items if items.ndim == LABELS else items.view(">i4")[:, 0]


def _find(folder: Path, stem: str, rank: int) -> Path:
    kind = "idx2-int" if rank == LABELS and stem.startswith("qmnist-") else f"idx{rank}-ubyte"
    names = [f"{stem}{joint}{kind}{end}" for joint in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise IdxError(f"{folder} {_contents(folder)}; expected one of the files {', '.join(names)}")


def _contents(folder: Path) -> str:
    """Describe what was found instead of a folder with the IDX files."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except NotADirectoryError:
        with folder.open("rb") as file:
            kind = kind_of(file.read(BEGIN))
        remedy = remedy_of(kind)
        return f"is {kind or 'a file'}, not a folder" + (f": {remedy}" if remedy else "")
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"has {shown}" if names else "is empty"
