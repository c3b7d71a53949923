"""The writer of datasets: whole shards, published by one replacement of the manifest."""

import re
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import file_sha256
from ddmlp.data.manifest import NAME as MANIFEST
from ddmlp.data.manifest import Manifest, Shard, check_names
from ddmlp.data.shards import ShardWriter
from ddmlp.errors import DatasetError
from ddmlp.files import LOCK, held, sync_folder

BATCH_ROWS = 1_000  # rows of a record batch: the block that a windowed shuffle moves whole
BATCH_BYTES = 64 << 20  # the most that a record batch of large images holds
SHARD_ROWS = 10_000
_OURS = re.compile(  # what a writer may leave behind
    r"\d{5,}-[0-9a-f]{12}\.arrow|\.writing-[a-z0-9_]{8}|\.dataset\.json\.\d+\.tmp|\.writer\.lock"
)


class DatasetWriter:
    """Writes a dataset into the folder `path`; a context manager.

    The manifest is replaced at the end of the block, and by `publish`, in one step, when every shard is in its place:
    until then, and if the block raised or the process died, readers see what was there before. A shard's name has
    its hash in it, so new ones never stand in the way of old ones, and equal data give equal datasets.

    With `extend` the rows come after those of the dataset that is there, if one is; with `overwrite` they replace it.
    Raises DatasetError if a dataset is there and neither is given, if one is to be extended whose end is marked, if
    something else is there, if another process writes there, for rows that do not fit, and if no row was written;
    OSError, naming the file, if one cannot be written.
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
        self.path = Path(path).absolute()
        self.image_shape, self.classes, self.shard_rows = image_shape, classes, shard_rows
        self.class_names = class_names
        if class_names is not None:
            try:
                check_names(class_names, classes)
            except ValueError as error:
                raise DatasetError(f"{path}: {error}") from None
        self.batch_rows = min(BATCH_ROWS, shard_rows, max(1, BATCH_BYTES // (image_shape[0] * image_shape[1])))
        self._check_path(Path(path), overwrite or extend)
        self._shards: list[Shard] = []  # of the dataset, with those not yet published
        self._ended = False
        self._published = 0, False  # how many of the shards, and whether the end
        self._stale = True  # what others left behind may still be there
        self._writer: ShardWriter | None = None
        self._closer = ThreadPoolExecutor(1)  # the disk is waited for, and hashes computed, beside the next shard
        self._closing: Future[Shard] | None = None
        self._pixels = np.empty((self.batch_rows, *image_shape), np.uint8)
        self._labels = np.empty(self.batch_rows, np.uint8)
        self._held = 0
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self._lock = ExitStack()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._lock.enter_context(held(self.path)):
                raise DatasetError(f"{path} is being written by another process; wait for it")
            if extend and (self.path / MANIFEST).exists():
                self._go_on(Manifest.read(self.path))
            self._folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.path))
        except BaseException:
            self._lock.close()
            self._remove_made()
            raise

    def append(self, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Add rows: pixels (rows, height, width) and labels (rows,), both uint8, labels in 0..classes-1."""
        if self._ended:
            raise DatasetError(f"{self.path}: its end is marked, nothing can be added any more")
        if (
            pixels.dtype != np.uint8
            or labels.dtype != np.uint8
            or labels.ndim != 1
            or pixels.shape != (len(labels), *self.image_shape)
        ):
            raise DatasetError(
                f"{self.path}: found pixels {pixels.dtype} {pixels.shape} and labels {labels.dtype} {labels.shape}, "
                f"expected uint8 of (rows, {self.image_shape[0]}, {self.image_shape[1]}) and (rows,)"
            )
        if len(labels) and labels.max() >= self.classes:
            raise DatasetError(f"{self.path}: found the label {labels.max()}, expected 0 to {self.classes - 1}")
        done = 0
        while done < len(labels):
            take = min(self.batch_rows - self._held, self.shard_rows - self._shard_rows, len(labels) - done)
            self._pixels[self._held : self._held + take] = pixels[done : done + take]
            self._labels[self._held : self._held + take] = labels[done : done + take]
            self._held += take
            done += take
            if self._held == self.batch_rows or self._shard_rows == self.shard_rows:
                self._flush()

    def end(self) -> None:
        """Mark the end: nothing can be added any more. Readers see it with what is published next."""
        self._ended = True

    def finish(self) -> None:
        """Write what is held, so that nothing large is left to be written at the end of the block."""
        if self._held:
            self._flush()
        self._close_shard()
        self._settle()
        if not self._shards:
            raise DatasetError(f"{self.path} would have no rows; expected at least one")

    def publish(self) -> None:
        """Let readers see all rows so far. The shard that is being written ends here, however short it is."""
        self.finish()
        if (now := (len(self._shards), self._ended)) == self._published:
            return
        for shard in self._shards[self._published[0] :]:
            (self._folder / shard.file).replace(self.path / shard.file)
        sync_folder(self.path)
        rows, shards = sum(shard.rows for shard in self._shards), tuple(self._shards)
        Manifest(rows, self.image_shape, self.classes, self.batch_rows, shards, self._ended, self.class_names).write(
            self.path
        )
        self._published = now
        if self._stale:
            self._remove_stale()

    def _remove_stale(self) -> None:
        """Remove what killed writers left, and the shards that an overwritten dataset had."""
        kept = {MANIFEST, LOCK, self._folder.name, *(shard.file for shard in self._shards)}
        for old in self.path.iterdir():
            if old.name not in kept and _OURS.fullmatch(old.name):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        self._stale = False

    def _go_on(self, there: Manifest) -> None:
        """Continue a dataset; raises DatasetError if it has ended, or the rows to come would not fit it."""
        if there.ended:
            raise DatasetError(
                f"{self.path} has had its end marked, nothing can be added to it; give --overwrite to replace it, or "
                "write another"
            )
        ours, theirs = (self.image_shape, self.classes), (there.image_shape, there.classes)
        if ours != theirs:
            raise DatasetError(
                f"{self.path} has images of {theirs[0]} in {theirs[1]} classes; found images of {ours[0]} in {ours[1]}"
            )
        if self.class_names not in (None, there.class_names):
            raise DatasetError(f"{self.path} has the class names {there.class_names}; found {self.class_names}")
        self.class_names = there.class_names
        self.batch_rows = there.batch_rows
        self._shards = [*there.shards]
        self._published = len(self._shards), False

    @property
    def _shard_rows(self) -> int:
        return self._held + (self._writer.rows if self._writer else 0)

    def _flush(self) -> None:
        """Write the held rows as a record batch, and close the shard when it is full."""
        if self._writer is None:
            index = len(self._shards) + (self._closing is not None)
            self._writer = ShardWriter(self._folder / f"{index:05d}", self.image_shape)
        self._writer.write(self._pixels[: self._held], self._labels[: self._held])
        self._held = 0
        if self._writer.rows == self.shard_rows:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._settle()  # one at a time: what is not on disk yet is bounded
            self._closing = self._closer.submit(_close, self._writer)
            self._writer = None

    def _settle(self) -> None:
        """Wait for the shard that is being closed; raises what went wrong there, and again whenever it is called, as
        nothing can be published without that shard."""
        if self._closing is not None:
            self._shards.append(self._closing.result())
            self._closing = None

    def _check_path(self, shown: Path, goes_on: bool) -> None:
        if not self.path.exists():
            return
        if (self.path / MANIFEST).exists():
            if not goes_on:
                raise DatasetError(
                    f"{shown} is there already; give --overwrite to replace it, or --append to add to it"
                )
        elif not self.path.is_dir() or not all(_OURS.fullmatch(entry.name) for entry in self.path.iterdir()):
            raise DatasetError(f"{shown} is there already and is no dataset: it is not overwritten")

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
            shutil.rmtree(self._folder, ignore_errors=True)
            if not (self.path / MANIFEST).exists():
                for shard in self._shards:
                    (self.path / shard.file).unlink(missing_ok=True)
            self._lock.close()
            self._remove_made()

    def _remove_made(self) -> None:
        """Remove the folders that were made for the dataset, up to one with something in it: none if it is there."""
        with suppress(OSError):
            for folder in self._made:
                folder.rmdir()


def _close(writer: ShardWriter) -> Shard:
    """Complete a shard, and add its hash to its name."""
    writer.close()
    digest = file_sha256(writer.path)
    named = writer.path.rename(writer.path.with_name(f"{writer.path.name}-{digest[:12]}.arrow"))
    return Shard(named.name, writer.rows, named.stat().st_size, digest)
