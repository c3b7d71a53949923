"""IDX files into datasets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.idx import IdxReader
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.writer import SHARD_ROWS, DatasetWriter
from ddmlp.errors import IdxError

CHUNK_BYTES = 1 << 20  # of pixels, read at a time
MOST_PIXELS = 1 << 24  # of an image: what a header claims is not believed without a bound

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]  # rows converted so far, rows in all


class Pair(NamedTuple):
    """An IDX file of images, and that of their labels."""

    images: Path
    labels: Path


def find_pairs(folder: Path) -> tuple[Pair, Pair]:
    """The training and the test pair in a folder that holds the four usual files; raises IdxError naming one that
    is missing."""
    train, test = (
        Pair(_find(folder, f"{stem}-images", 3), _find(folder, f"{stem}-labels", 1)) for stem in ("train", "t10k")
    )
    return train, test


def convert(
    pairs: dict[Path, Pair],
    *,
    classes: int | None = None,
    shard_rows: int = SHARD_ROWS,
    overwrite: bool = False,
    extend: bool = False,
    end: bool = False,
    progress: Progress | None = None,
) -> int:
    """Convert each pair into the dataset at its path: all of them, or none. Returns the rows converted.

    With `extend` rows are added to the datasets that are there, with `overwrite` they replace them; with `end` the end
    of the datasets is marked. Without `classes`
    the dataset that is extended, or the first pair's labels, say how many there are; a label outside them is an
    IdxError, as is any fault of a file.
    """
    with ExitStack() as stack:
        sources = {path: stack.enter_context(_Source(pair)) for path, pair in pairs.items()}
        first = next(iter(sources))
        if classes is None and extend and (first / NAME).exists():
            classes = Manifest.read(first).classes
        elif classes is None:
            classes = sources[first].count_classes()
        total, done = sum(source.rows for source in sources.values()), 0
        # Every writer is open until the last row of the last pair is on disk: then all of them publish.
        writers = {
            path: stack.enter_context(
                DatasetWriter(
                    path, source.image_shape, classes, shard_rows=shard_rows, overwrite=overwrite, extend=extend
                )
            )
            for path, source in sources.items()
        }
        for path, source in sources.items():
            for pixels, labels in source.chunks(classes):
                writers[path].append(pixels, labels)
                done += len(labels)
                if progress is not None:
                    progress(done, total)
        for writer in writers.values():
            writer.finish()
            if end:
                writer.end()
    return done


class _Source:
    """A pair of IDX files, opened and found to fit each other."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._stack = ExitStack()
        with ExitStack() as opening:
            self._images = opening.enter_context(IdxReader(pair.images))
            self._labels = opening.enter_context(IdxReader(pair.labels))
            self._check()
            self._stack = opening.pop_all()
        self.rows = len(self._images)
        self.image_shape = (self._images.shape[1], self._images.shape[2])

    def __enter__(self) -> "_Source":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def count_classes(self) -> int:
        """One more than the highest label."""
        with IdxReader(self.pair.labels) as labels:
            return 1 + max(int(chunk.max()) for chunk in labels.chunks(1 << 20))

    def chunks(self, classes: int) -> Iterator[tuple[Pixels, Pixels]]:
        """The rows in order, as uint8 arrays (rows, height, width) and (rows,), labels checked."""
        start = self._labels.offset
        chunk = max(1, CHUNK_BYTES // (self.image_shape[0] * self.image_shape[1]))
        rows = zip(self._images.chunks(chunk), self._labels.chunks(chunk), strict=True)
        for index, (pixels, labels) in enumerate(rows):
            if (wrong := np.flatnonzero(labels >= classes)).size:
                row = index * chunk + int(wrong[0])
                raise IdxError(
                    f"{self.pair.labels}: the label at byte {start + row} (row {row}) is {labels[wrong[0]]}, "
                    f"expected 0 to {classes - 1}; --classes says how many there are"
                )
            yield pixels, labels

    def _check(self) -> None:
        images, labels = self._images, self._labels
        for reader, what, rank in [(images, "images", 3), (labels, "labels", 1)]:
            if reader.dtype != np.uint8 or len(reader.shape) != rank:
                raise IdxError(
                    f"{reader.path}: its header says {reader.dtype} of rank {len(reader.shape)}, expected {what}: "
                    f"uint8 of rank {rank}"
                )
        if len(images) != len(labels):
            raise IdxError(f"{images.path} has {len(images)} images, but {labels.path} has {len(labels)} labels")
        rows, height, width = images.shape
        if rows == 0 or not 1 <= height * width <= MOST_PIXELS:
            raise IdxError(
                f"{images.path} has {rows} images of {height} x {width} pixels, expected at least one, of 1 to "
                f"{MOST_PIXELS:,} pixels"
            )


def _find(folder: Path, stem: str, rank: int) -> Path:
    names = [f"{stem}{joint}idx{rank}-ubyte{end}" for joint in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise IdxError(f"{folder} has none of the files {', '.join(names)}")
