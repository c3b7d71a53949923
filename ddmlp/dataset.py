"""A dataset: a folder of shards and one manifest."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import DatasetError
from ddmlp.manifest import Manifest, Shard
from ddmlp.shards import Block, map_shard


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
        path, classes = self._check_size(shard), self.manifest.classes
        blocks = map_shard(path, shard.rows, self.manifest.image_shape, self.manifest.batch_rows)
        if (label := max(int(block.labels.max()) for block in blocks)) >= classes:
            raise DatasetError(f"{path} is damaged: it has the label {label}, expected 0 to {classes - 1}")
        return blocks

    def _check_size(self, shard: Shard) -> Path:
        path = self.path / shard.file
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}; the manifest lists it") from None
        if size != shard.bytes:
            raise DatasetError(f"{path} has {size} bytes, expected {shard.bytes}; convert the data again")
        return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
