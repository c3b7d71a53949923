"""A dataset: a folder of shards and one manifest."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.manifest import NAME, Manifest, Shard
from ddmlp.data.shards import MappedShard, map_shard
from ddmlp.errors import DatasetError


class LocatedRows(NamedTuple):
    """addresses (B,): of the m bytes of each row's pixels, in mapped shards; labels (B,) uint8, a copy; maps: these
    shards, which must be kept as long as the addresses are used."""

    addresses: NDArray[np.intp]
    labels: NDArray[np.uint8]
    maps: list[MappedShard]


class Dataset:
    """A dataset, read through memory maps. It may grow while it is read: see `grow` and `forget`."""

    def __init__(self, path: str | Path, *, verify: bool = False) -> None:
        """Open the dataset in folder `path`.

        Checks the manifest, and of each shard its size, its schema and its rows; with `verify` its every byte as well,
        whenever it is opened. Raises DatasetError.
        """
        self.path = Path(path)
        self._verify = verify
        self._stamp = self._manifest_stamp()
        self.manifest = Manifest.read(self.path)
        self._maps = {index: self._map(shard) for index, shard in enumerate(self.manifest.shards)}
        self._begins = _begins(self.manifest)

    def __len__(self) -> int:
        return self.manifest.rows

    def gather(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The pixels (B, m) and the labels (B,) of the given rows (B,), copies, uint8.

        Raises DatasetError for a row that is not there, and if a shard that was forgotten is not as it was.
        """
        pixels = np.empty(len(rows), f"V{self.manifest.pixels}")  # whole rows are copied faster than their pixels
        labels = np.empty(len(rows), np.uint8)
        for shard, some, inner in self._by_shard(rows):
            pixels[some], labels[some] = shard.copy_rows(inner)
        return pixels.view(np.uint8).reshape(len(rows), self.manifest.pixels), labels

    def locate(self, rows: NDArray[np.intp]) -> LocatedRows:
        """What `gather` gives, but with the pixels where they lie; raises what it does."""
        addresses, labels, maps = np.empty(len(rows), np.intp), np.empty(len(rows), np.uint8), []
        for shard, some, inner in self._by_shard(rows):
            addresses[some], labels[some] = shard.locate_rows(inner)
            maps.append(shard)
        return LocatedRows(addresses, labels, maps)

    def _by_shard(self, rows: NDArray[np.intp]) -> Iterator[tuple[MappedShard, NDArray[np.intp], NDArray[np.intp]]]:
        """Rows shard by shard: the shard, at which places of `rows` its own are, and which of the shard's they are."""
        if not len(rows):
            return
        order = rows.argsort()
        ordered = rows[order]
        for row in ordered[[0, -1]].tolist():
            if not 0 <= row < len(self):
                raise DatasetError(f"{self.path} has no row {row}, expected 0 to {len(self) - 1}")
        shards = self._begins.searchsorted(ordered, side="right") - 1
        ordered -= self._begins[shards]
        ends = (shards[1:] != shards[:-1]).nonzero()[0] + 1
        for begin, end in pairwise([0, *ends.tolist(), len(rows)]):
            yield self._mapped(int(shards[begin])), order[begin:end], ordered[begin:end]

    def grow(self) -> tuple[Shard, ...]:
        """Take up what has been published since; returns the shards that are new. `manifest.ended` may change alone.

        Raises DatasetError if the dataset is another one now, and if a new shard is not what it should be; then
        nothing is taken up.
        """
        # Looked at before the manifest is read: what is published in between is then read again, not missed.
        stamp = self._manifest_stamp()
        if stamp == self._stamp:
            return ()
        found, known = Manifest.read(self.path), self.manifest
        for what in ("image_shape", "classes", "batch_rows"):
            if (now := getattr(found, what)) != (before := getattr(known, what)):
                raise DatasetError(
                    f"{self.path} was overwritten: its {what} is {now}, expected {before} as before; begin a new run"
                )
        begin = len(known.shards)
        if found.shards[:begin] != known.shards:
            raise DatasetError(
                f"{self.path} was overwritten: its first {begin} shards are not those that were there before; begin a "
                "new run, or restore it"
            )
        new = found.shards[begin:]
        self._maps |= {index: self._map(shard) for index, shard in enumerate(new, begin)}
        self.manifest, self._stamp, self._begins = found, stamp, _begins(found)
        return new

    def forget(self, row: int) -> None:
        """Let go of the maps of shards that lie wholly before `row`; one is mapped again when a row of it is read."""
        for shard in [shard for shard in self._maps if self._begins[shard + 1] <= row]:
            del self._maps[shard]

    def verify(self, shards: Iterable[Shard] | None = None) -> None:
        """Read every shard, or the given ones, whole and compare the SHA-256 with the manifest's; raises DatasetError
        naming a shard."""
        for shard in self.manifest.shards if shards is None else shards:
            path = self._check_size(shard)
            if (found := file_sha256(path)) != shard.sha256:
                raise DatasetError(
                    f"{path} is damaged: its SHA-256 is {found[:16]}..., expected {shard.sha256[:16]}...; "
                    "restore it, or convert the data again"
                )

    def _mapped(self, shard: int) -> MappedShard:
        """The shard of that index; maps it again if it was forgotten."""
        if shard not in self._maps:
            self._maps[shard] = self._map(self.manifest.shards[shard])
        return self._maps[shard]

    def _manifest_stamp(self) -> tuple[int, int, int] | None:
        """What changes whenever the manifest is replaced; None where it is not there."""
        try:
            found = (self.path / NAME).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _map(self, shard: Shard) -> MappedShard:
        path, classes = self._check_size(shard), self.manifest.classes
        if self._verify:
            self.verify([shard])
        mapped = map_shard(path, shard.rows, self.manifest.image_shape, self.manifest.batch_rows)
        if (label := max(int(block.labels.max()) for block in mapped.blocks)) >= classes:
            raise DatasetError(f"{path} is damaged: it has the label {label}, expected 0 to {classes - 1}")
        return mapped

    def _check_size(self, shard: Shard) -> Path:
        path = self.path / shard.file
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}; the manifest lists it") from None
        if size != shard.bytes:
            raise DatasetError(f"{path} has {size} bytes, expected {shard.bytes}; convert the data again")
        return path


def _begins(manifest: Manifest) -> NDArray[np.intp]:
    """The first row of each shard, and after the last one the number of rows."""
    return np.cumsum([0, *(shard.rows for shard in manifest.shards)], dtype=np.intp)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
