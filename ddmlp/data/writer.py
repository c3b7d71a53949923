"""The writer of datasets: complete shards, published by replacing the manifest."""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import file_sha256
from ddmlp.data.manifest import NAME as MANIFEST
from ddmlp.data.manifest import Manifest, Shard, check_names, checked_form
from ddmlp.data.position import Position
from ddmlp.data.shards import ShardWriter
from ddmlp.data.staging import StagingFolder
from ddmlp.errors import DatasetError
from ddmlp.files import as_path

BATCH_ROWS = 1_000  # rows of a record batch: the block that a windowed shuffle moves as a whole
BATCH_BYTES = 64 << 20  # at most, of a record batch of large images
SHARD_ROWS = 10_000


class DatasetWriter:
    """Writes a dataset; a context manager.

    The rows are published at the end of the `with` block, and by `publish`: once all shards are in place, the manifest
    is replaced atomically. If the block raises an exception, or the process dies, readers see what was last published.
    The name of a shard contains its hash, so new shards never overwrite old ones, and equal rows give equal datasets.

    Parameters
    ----------
    path : str or Path
        The folder of the dataset.
    image_shape : tuple of int
        (height, width) in pixels.
    classes : int
        The number of classes, 1 to 256.
    shard_rows : int
        Rows per shard; the last shard, and the last one of each publication, may have fewer.
    overwrite, extend : bool
        Replace an existing dataset, or append the rows to it.
    class_names : tuple of str, optional
        The names of the classes 0, 1, ...; by default those of the dataset to extend, if any.

    Attributes
    ----------
    position : Position or None
        The position in a stream after the rows appended so far, to be published with them.

    Raises
    ------
    DatasetError
        The folder exists and is not a dataset, or neither `overwrite` nor `extend` is set; the dataset to extend is
        complete or has another form; another process writes there; or no rows were appended.
    OSError
        A file cannot be written; the error names it.

    Examples
    --------
    >>> with DatasetWriter("digits", image_shape=(28, 28), classes=10) as writer:
    ...     writer.append(np.zeros((5, 28, 28), np.uint8), np.arange(5, dtype=np.uint8))
    >>> Manifest.read(Path("digits")).rows
    5
    """

    def __init__(
        self,
        path: str | Path,
        image_shape: tuple[int, int],
        classes: int,
        *,
        shard_rows: int = SHARD_ROWS,
        overwrite: bool = False,
        extend: bool = False,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        self.path = as_path(path, "path", "the path of a folder").absolute()
        self.shard_rows, self.class_names = shard_rows, class_names
        try:
            self.image_shape, self.classes = checked_form(image_shape, classes)
            if not isinstance(shard_rows, int | np.integer) or shard_rows < 1:
                raise ValueError(f"shard_rows is {shard_rows!r}, expected a whole number, at least 1")
            if class_names is not None:
                check_names(class_names, self.classes)
        except ValueError as error:
            raise DatasetError(f"{path}: {error}") from None
        self.batch_rows = min(BATCH_ROWS, shard_rows, BATCH_BYTES // math.prod(self.image_shape))
        self._shards: list[Shard] = []  # of the dataset, with those that are not published yet
        self.position: Position | None = None
        self._ended = False
        self._published: tuple[int, bool, Position | None] = 0, False, None  # shards, `ended`, `position`
        self._writer: ShardWriter | None = None
        self._closer = ThreadPoolExecutor(1)  # hashes and syncs a shard while the next one is written
        self._closing: Future[Shard] | None = None
        self._pixels = np.empty((self.batch_rows, *self.image_shape), np.uint8)
        self._labels = np.empty(self.batch_rows, np.uint8)
        self._buffered = 0  # rows in `_pixels` and `_labels`
        self._staging = StagingFolder(path, replace=overwrite or extend)
        if extend and (self.path / MANIFEST).exists():
            try:
                self._extend(Manifest.read(self.path))
            except BaseException:
                self._staging.close()
                raise

    def append(self, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Append rows.

        Parameters
        ----------
        pixels : uint8 (rows, height, width)
            The images.
        labels : uint8 (rows,)
            Their labels, 0 to classes-1.

        Raises
        ------
        DatasetError
            A shape, a dtype or a label is wrong, or the dataset is complete.
        """
        if self._ended:
            raise DatasetError(f"{self.path} is marked as complete, so no rows can be added")
        arrays = isinstance(pixels, np.ndarray) and isinstance(labels, np.ndarray)
        if (
            not arrays
            or pixels.dtype != np.uint8
            or labels.dtype != np.uint8
            or labels.ndim != 1
            or pixels.shape != (len(labels), *self.image_shape)
        ):
            raise DatasetError(
                f"{self.path}: found pixels {_form(pixels)} and labels {_form(labels)}, expected uint8 of "
                f"(rows, {self.image_shape[0]}, {self.image_shape[1]}) and (rows,)"
            )
        if len(labels) and labels.max() >= self.classes:
            raise DatasetError(f"{self.path}: found the label {labels.max()}, expected 0 to {self.classes - 1}")
        done = 0
        while done < len(labels):
            count = min(self.batch_rows - self._buffered, self.shard_rows - self._shard_rows, len(labels) - done)
            self._pixels[self._buffered : self._buffered + count] = pixels[done : done + count]
            self._labels[self._buffered : self._buffered + count] = labels[done : done + count]
            self._buffered += count
            done += count
            if self._buffered == self.batch_rows or self._shard_rows == self.shard_rows:
                self._flush()

    def end(self) -> None:
        """Mark the dataset as complete, with the next publication: no rows can be added later."""
        self._ended = True

    def finish(self) -> None:
        """Write all buffered rows to disk, so that `publish` has little left to do."""
        if self._buffered:
            self._flush()
        self._close_shard()
        self._wait_for_shard()
        if not self._shards:
            raise DatasetError(f"{self.path} would have no rows; expected at least one")

    def publish(self) -> None:
        """Make all rows so far visible to readers. This ends the current shard, however few rows it has."""
        self.finish()
        if (now := (len(self._shards), self._ended, self.position)) == self._published:
            return
        self._staging.publish([shard.file for shard in self._shards[self._published[0] :]])
        rows, shards = sum(shard.rows for shard in self._shards), tuple(self._shards)
        form = self.image_shape, self.classes, self.batch_rows
        Manifest(rows, *form, shards, self._ended, self.class_names, self.position).write(self.path)
        self._published = now
        self._staging.remove_stale([shard.file for shard in self._shards])

    def _extend(self, existing: Manifest) -> None:
        """Continue a dataset; raises DatasetError if it is complete or has another form."""
        if existing.ended:
            raise DatasetError(
                f"{self.path} is marked as complete, so no rows can be added; replace it with --overwrite (in Python: "
                "overwrite=True), or write another dataset"
            )
        ours, theirs = (self.image_shape, self.classes), (existing.image_shape, existing.classes)
        if ours != theirs:
            raise DatasetError(
                f"{self.path} has images of {theirs[0]} in {theirs[1]} classes; found images of {ours[0]} in {ours[1]}"
            )
        if self.class_names not in (None, existing.class_names):
            raise DatasetError(f"{self.path} has the class names {existing.class_names}; found {self.class_names}")
        self.class_names = existing.class_names
        self.batch_rows = existing.batch_rows
        self._shards = [*existing.shards]
        self.position = existing.position
        self._published = len(self._shards), False, self.position

    @property
    def _shard_rows(self) -> int:
        return self._buffered + (self._writer.rows if self._writer else 0)

    def _flush(self) -> None:
        """Write the buffered rows as a record batch, and close the shard if it is full."""
        if self._writer is None:
            index = len(self._shards) + (self._closing is not None)
            self._writer = ShardWriter(self._staging.path / f"{index:05d}", self.image_shape)
        self._writer.write(self._pixels[: self._buffered], self._labels[: self._buffered])
        self._buffered = 0
        if self._writer.rows == self.shard_rows:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._wait_for_shard()  # at most one shard is waiting for the disk
            self._closing = self._closer.submit(_close, self._writer, self.position.time if self.position else None)
            self._writer = None

    def _wait_for_shard(self) -> None:
        """Wait for the shard that is being closed. If that failed, every call raises the error: nothing can be
        published without the shard."""
        if self._closing is not None:
            self._shards.append(self._closing.result())
            self._closing = None

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            self._closer.shutdown()
            if self._writer is not None:
                self._writer.abandon()
            if not (self.path / MANIFEST).exists():  # publishing failed before the first manifest
                for shard in self._shards:
                    (self.path / shard.file).unlink(missing_ok=True)
            self._staging.close()


def _form(rows: object) -> str:
    return f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else f"of type {type(rows).__name__}"


def _close(writer: ShardWriter, time: int | None) -> Shard:
    """Complete a shard, and add its hash to its name. time: see `Shard`."""
    writer.close()
    digest = file_sha256(writer.path)
    named = writer.path.rename(writer.path.with_name(f"{writer.path.name}-{digest[:12]}.arrow"))
    return Shard(named.name, writer.rows, named.stat().st_size, digest, time)
