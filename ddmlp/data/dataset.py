"""A dataset: a folder of shards and one manifest."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.manifest import NAME, Manifest, Shard
from ddmlp.data.shards import Block, MappedShard, map_shard
from ddmlp.errors import DatasetError


class LocatedRows(NamedTuple):
    """Rows in mapped shards, without copies of their pixels.

    Parameters
    ----------
    addresses : intp (B,)
        The memory address of the first of the m pixels of each row.
    labels : uint8 (B,)
        The labels, copied.
    maps : list of MappedShard
        The shards that contain the addresses. Keep them while the addresses are in use.
    """

    addresses: NDArray[np.intp]
    labels: NDArray[np.uint8]
    maps: list[MappedShard]


class Dataset:
    """A dataset that is read through memory maps, and may grow meanwhile.

    The manifest is checked when the dataset is opened, and so are the size, the schema and the rows of each shard.
    `len(dataset)` is the number of rows.

    Parameters
    ----------
    path : str or Path
        The folder of the dataset.
    verify : bool
        Compare the SHA-256 of each shard with the manifest whenever the shard is mapped.
    manifest : Manifest, optional
        Its manifest, or one with some of its shards; by default that in the folder.

    Attributes
    ----------
    manifest : Manifest
        The manifest, as last read.

    Raises
    ------
    DatasetError
        The dataset does not exist, is damaged, or is inconsistent.

    Examples
    --------
    >>> from ddmlp.data.writer import DatasetWriter
    >>> with DatasetWriter("digits", image_shape=(1, 2), classes=10) as writer:
    ...     writer.append(np.array([[[0, 9]], [[7, 1]]], np.uint8), np.array([3, 4], np.uint8))
    >>> dataset = Dataset("digits")
    >>> len(dataset)
    2
    >>> dataset.gather(np.array([1, 0]))
    (array([[7, 1],
           [0, 9]], dtype=uint8), array([4, 3], dtype=uint8))
    """

    def __init__(self, path: str | Path, *, verify: bool = False, manifest: Manifest | None = None) -> None:
        self.path = Path(path)
        self._verify = verify
        self._stamp = self._manifest_stamp()
        self.manifest = Manifest.read(self.path) if manifest is None else manifest
        self._maps = {index: self._map(shard) for index, shard in enumerate(self.manifest.shards)}
        self._begins = _begins(self.manifest)

    def __len__(self) -> int:
        return self.manifest.rows

    def gather(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return copies of the pixels and labels of some rows.

        Parameters
        ----------
        rows : intp (B,)
            Row numbers, in any order.

        Returns
        -------
        pixels : uint8 (B, m)
            One row of m pixels per row number.
        labels : uint8 (B,)
            The labels.

        Raises
        ------
        DatasetError
            A row number is out of range, or a shard that has to be mapped again is damaged.
        """
        pixels = np.empty(len(rows), f"V{self.manifest.pixels}")  # whole rows are copied faster than their pixels
        labels = np.empty(len(rows), np.uint8)
        for shard, some, inner in self._by_shard(rows):
            pixels[some], labels[some] = shard.copy_rows(inner)
        return pixels.view(np.uint8).reshape(len(rows), self.manifest.pixels), labels

    def blocks(self) -> Iterator[Block]:
        """Yield the record batches of the shards, in the order of the rows."""
        for shard in range(len(self.manifest.shards)):
            yield from self._mapped(shard).blocks

    def locate(self, rows: NDArray[np.intp]) -> LocatedRows:
        """Return the addresses of the pixels of some rows, and copies of their labels.

        Parameters and errors are those of `gather`.
        """
        addresses, labels, maps = np.empty(len(rows), np.intp), np.empty(len(rows), np.uint8), []
        for shard, some, inner in self._by_shard(rows):
            addresses[some], labels[some] = shard.locate_rows(inner)
            maps.append(shard)
        return LocatedRows(addresses, labels, maps)

    def _by_shard(self, rows: NDArray[np.intp]) -> Iterator[tuple[MappedShard, NDArray[np.intp], NDArray[np.intp]]]:
        """Yield for each shard: the shard, the indices into `rows` of its rows, and the row numbers within it."""
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
        """Add the shards that were published since the manifest was last read.

        Returns
        -------
        tuple of Shard
            The new shards; empty if there are none, also if only `manifest.ended` has changed.

        Raises
        ------
        DatasetError
            The dataset was replaced by another one, or a new shard is damaged. Nothing is added then.
        """
        # Taken before the manifest is read, so that a publication in between is read again, not missed.
        stamp = self._manifest_stamp()
        if stamp == self._stamp:
            return ()
        found, known = Manifest.read(self.path), self.manifest
        for what in ("image_shape", "classes", "batch_rows"):
            if (now := getattr(found, what)) != (before := getattr(known, what)):
                raise DatasetError(
                    f"{self.path} was overwritten: its {what} is {now}, expected {before} as before; start a new run"
                )
        begin = len(known.shards)
        if found.shards[:begin] != known.shards:
            raise DatasetError(
                f"{self.path} was overwritten: its first {begin} shards differ from those read before; start a new run "
                "or restore the dataset"
            )
        new = found.shards[begin:]
        self._maps |= {index: self._map(shard) for index, shard in enumerate(new, begin)}
        self.manifest, self._stamp, self._begins = found, stamp, _begins(found)
        return new

    def forget(self, row: int) -> None:
        """Unmap the shards that end at or before `row`; a shard is mapped again if one of its rows is read."""
        for shard in [shard for shard in self._maps if self._begins[shard + 1] <= row]:
            del self._maps[shard]

    def verify(self, shards: Iterable[Shard] | None = None) -> None:
        """Compare the SHA-256 of every shard, or of the given ones, with the manifest.

        Raises
        ------
        DatasetError
            A shard is missing or damaged; the message names it.
        """
        for shard in self.manifest.shards if shards is None else shards:
            path = self._check_size(shard)
            if (found := file_sha256(path)) != shard.sha256:
                raise DatasetError(
                    f"{path} is damaged: its SHA-256 is {found[:16]}..., expected {shard.sha256[:16]}...; "
                    "restore it, or convert the data again"
                )

    def read_part(self, shard: Shard, offset: int, size: int) -> bytes:
        """Read at most `size` bytes of the file of a shard, for another machine; raises DatasetError."""
        if shard not in self.manifest.shards:
            raise DatasetError(f"{self.path} has no shard {shard.file}, with the SHA-256 {shard.sha256[:16]}...")
        with self._check_size(shard).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def _mapped(self, shard: int) -> MappedShard:
        """Return the shard with this index, mapped again if it was unmapped."""
        if shard not in self._maps:
            self._maps[shard] = self._map(self.manifest.shards[shard])
        return self._maps[shard]

    def _manifest_stamp(self) -> tuple[int, int, int] | None:
        """Return values that change whenever the manifest is replaced; None if it does not exist."""
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
            raise DatasetError(
                f"{path} is damaged: it has the label {label}, expected 0 to {classes - 1}; convert the data again"
            )
        return mapped

    def _check_size(self, shard: Shard) -> Path:
        path = self.path / shard.file
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DatasetError(
                f"{path} cannot be read: {error.strerror}; the manifest lists it: restore it, or convert the data again"
            ) from None
        if size != shard.bytes:
            raise DatasetError(f"{path} has {size} bytes, expected {shard.bytes}; convert the data again")
        return path


def _begins(manifest: Manifest) -> NDArray[np.intp]:
    """Return the first row of each shard, followed by the number of rows."""
    return np.cumsum([0, *(shard.rows for shard in manifest.shards)], dtype=np.intp)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
