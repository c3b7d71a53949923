"""A dataset: a folder of shards and one manifest."""

import hashlib
import os
import shutil
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import DatasetError
from ddmlp.files import sync_folder
from ddmlp.manifest import NAME as MANIFEST
from ddmlp.manifest import Manifest, Shard
from ddmlp.shards import Block, ShardWriter, map_shard

BATCH_ROWS = 1_000  # rows of a record batch: the block that a windowed shuffle moves whole
SHARD_ROWS = 10_000


class Dataset:
    """A dataset, read through memory maps."""

    def __init__(self, path: str | Path) -> None:
        """Open the dataset in folder `path`.

        Checks the manifest, and of each shard its size, its schema and its rows, but not its every byte: see `verify`.
        Raises DatasetError.
        """
        self.path = Path(path)
        self.manifest = Manifest.read(self.path)
        self._begins = np.cumsum([0] + [shard.rows for shard in self.manifest.shards])
        self._maps = [self._map(shard) for shard in self.manifest.shards]

    def __len__(self) -> int:
        return self.manifest.rows

    def gather(self, rows: NDArray[np.intp], pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Copy the given rows (B,) into pixels (B, m) and labels (B,), both uint8, or longer ones."""
        shards = np.searchsorted(self._begins, rows, side="right") - 1
        blocks, places = np.divmod(rows - self._begins[shards], self.manifest.batch_rows)
        maps = self._maps
        # A loop over rows, because neighbours in the order hardly ever share a record batch.
        for index, (shard, block, place) in enumerate(
            zip(shards.tolist(), blocks.tolist(), places.tolist(), strict=True)
        ):
            source = maps[shard][block]
            pixels[index] = source[0][place]
            labels[index] = source[1][place]

    def verify(self) -> None:
        """Read every shard whole and compare its SHA-256 with the manifest's; raises DatasetError naming a shard."""
        for shard in self.manifest.shards:
            path = self._check_size(shard)
            if (found := file_sha256(path)) != shard.sha256:
                raise DatasetError(
                    f"{path} is damaged: its SHA-256 is {found[:16]}..., expected {shard.sha256[:16]}...; "
                    "restore it, or convert the data again"
                )

    def _map(self, shard: Shard) -> list[Block]:
        return map_shard(self._check_size(shard), shard.rows, self.manifest.image_shape, self.manifest.batch_rows)

    def _check_size(self, shard: Shard) -> Path:
        path = self.path / shard.file
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}; the manifest lists it") from None
        if size != shard.bytes:
            raise DatasetError(f"{path} has {size} bytes, expected {shard.bytes}; convert the data again")
        return path


class DatasetWriter:
    """Writes a dataset. It appears at `path` when the block ends, whole, and not at all where the block raised.

    With `overwrite`, a dataset that is already there is replaced at that moment, not before. Raises DatasetError
    where something else is there, and where no row was written.
    """

    def __init__(
        self,
        path: str | Path,
        image_shape: tuple[int, int],
        classes: int,
        *,
        shard_rows: int = SHARD_ROWS,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        if self.path.exists():
            if not overwrite:
                raise DatasetError(f"{self.path} is there already; give --overwrite to replace it")
            if not (self.path / MANIFEST).exists():
                raise DatasetError(f"{self.path} is there already and is no dataset: it is not overwritten")
        self.image_shape, self.classes, self.shard_rows = image_shape, classes, shard_rows
        self.batch_rows = min(BATCH_ROWS, shard_rows)
        self._shards: list[Shard] = []
        self._writer: ShardWriter | None = None
        self._pixels = np.empty((self.batch_rows, *image_shape), np.uint8)
        self._labels = np.empty(self.batch_rows, np.uint8)
        self._held = 0
        self._folder = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self._folder.mkdir(parents=True)

    def append(self, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Add rows: pixels (rows, height, width) and labels (rows,), both uint8, labels in 0..classes-1."""
        done = 0
        while done < len(labels):
            take = min(self.batch_rows - self._held, self.shard_rows - self._shard_rows, len(labels) - done)
            self._pixels[self._held : self._held + take] = pixels[done : done + take]
            self._labels[self._held : self._held + take] = labels[done : done + take]
            self._held += take
            done += take
            if self._held == self.batch_rows or self._shard_rows == self.shard_rows:
                self._flush()

    @property
    def _shard_rows(self) -> int:
        return self._held + (self._writer.rows if self._writer else 0)

    def _flush(self) -> None:
        """Write the held rows as a record batch, and close the shard when it is full."""
        if self._writer is None:
            self._writer = ShardWriter(self._folder / f"{len(self._shards):05d}.arrow", self.image_shape)
        self._writer.write(self._pixels[: self._held], self._labels[: self._held])
        self._held = 0
        if self._writer.rows == self.shard_rows:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._writer is None:
            return
        path, rows = self._writer.path, self._writer.rows
        self._writer.close()
        self._writer = None
        self._shards.append(Shard(path.name, rows, path.stat().st_size, file_sha256(path)))

    def _publish(self) -> None:
        if self._held:
            self._flush()
        self._close_shard()
        if not self._shards:
            raise DatasetError(f"{self.path} would have no rows; expected at least one")
        rows = sum(shard.rows for shard in self._shards)
        Manifest(rows, self.image_shape, self.classes, self.batch_rows, tuple(self._shards)).write(self._folder)
        if self.path.exists():
            old = self._folder.with_suffix(".old")
            self.path.rename(old)
            self._folder.rename(self.path)
            shutil.rmtree(old)
        else:
            self._folder.rename(self.path)
        sync_folder(self.path.parent)

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            if self._writer is not None:
                self._writer.abandon()
            shutil.rmtree(self._folder, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
