"""Copies of datasets that this machine does not have, fetched shard by shard into a bounded folder."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from ddmlp.data.dataset import Dataset, file_sha256
from ddmlp.data.manifest import Manifest, Shard
from ddmlp.errors import ConfigError, DatasetError
from ddmlp.files import whole_file

PART = 4 << 20  # bytes that are fetched at a time
LIMIT = 10 << 30  # bytes in the cache, by default
PLACE, SIZE = "DDMLP_CACHE", "DDMLP_CACHE_BYTES"  # environment variables

Fetch = Callable[[Shard, int, int], bytes]
"""Returns the bytes of a shard from an offset, of a size of at most PART."""


class CachedDataset(Dataset):
    """A dataset in the cache, which no process evicts as long as this object exists."""

    def __init__(self, path: Path, lock: int) -> None:
        """lock: the descriptor of a locked file, which is closed with this object."""
        super().__init__(path)
        weakref.finalize(self, os.close, lock)


class DatasetCache:
    """A folder of datasets, by their SHA-256, that several processes fill and read.

    One process at a time fetches; the others wait, and find what it has fetched. If there is no room, the datasets that
    were opened longest ago are removed, but none that a process has open.

    Parameters
    ----------
    folder : Path
        The folder; it need not exist yet.
    limit : int
        The most bytes of shards in it.

    Examples
    --------
    >>> from ddmlp.data.writer import DatasetWriter
    >>> import numpy as np
    >>> with DatasetWriter("there", image_shape=(1, 2), classes=10) as writer:
    ...     writer.append(np.array([[[0, 9]]], np.uint8), np.array([3], np.uint8))
    >>> there = Dataset("there")
    >>> here = DatasetCache(Path("cache"), 1_000_000).fetch(there.manifest, there.read_part, seconds=60)
    >>> len(here), here.path.parent.name
    (1, 'cache')
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit

    @classmethod
    def of_user(cls) -> "DatasetCache":
        """The cache of this user on this machine.

        It is the folder data/ in the folder that DDMLP_CACHE names; if that is not set, in the user's cache folder or,
        if that cannot be used, among the temporary files. DDMLP_CACHE_BYTES is its limit.

        Raises
        ------
        ConfigError
            DDMLP_CACHE_BYTES is no whole number.
        OSError
            There is no private folder to write to.
        """
        text = os.environ.get(SIZE) or str(LIMIT)
        if not (text.isascii() and text.isdigit()):
            raise ConfigError(f"{SIZE} is {text!r}, expected a number of bytes")
        user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # Path's needs a home
        places = [Path(user, "ddmlp"), Path(tempfile.gettempdir(), f"ddmlp-{os.geteuid()}")]
        if chosen := os.environ.get(PLACE):
            places = [Path(chosen).absolute()]
        for folder in (place / "data" for place in places if place.is_absolute()):
            with suppress(OSError):
                folder.mkdir(0o700, parents=True, exist_ok=True)
                if folder.stat().st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK):
                    return cls(folder, int(text))
        raise FileNotFoundError(f"no folder for fetched datasets in {' or '.join(map(str, places))}; set {PLACE}")

    def fetch(self, manifest: Manifest, fetch: Fetch, seconds: float) -> CachedDataset:
        """Open a dataset; fetch what is missing or damaged of it before.

        Parameters
        ----------
        manifest : Manifest
            Of the dataset.
        fetch : callable
            Reads a part of a shard where the dataset is.
        seconds : float
            The longest wait for other processes that fetch.

        Raises
        ------
        DatasetError
            There is no room for the dataset, or what was fetched is not what the manifest says, or the wait was too
            long.
        OSError
            The cache cannot be written.
        """
        folder = self.folder / manifest.sha256()
        self._require(sum(shard.bytes for shard in manifest.shards), self.limit, "has room for", folder)
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        with self._filling(seconds):
            held = os.open(_lock_file(folder), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(held, fcntl.LOCK_SH)  # at once: only a process that fills takes an exclusive lock
                os.utime(held)
                folder.mkdir(exist_ok=True)
                for torn in folder.glob(".*.tmp"):
                    torn.unlink()
                missing = [shard for shard in manifest.shards if not _intact(folder, shard)]
                self._make_room(sum(shard.bytes for shard in missing), folder)
                for shard in missing:
                    _copy(shard, fetch, folder)
                manifest.write(folder)
                return CachedDataset(folder, held)
            except BaseException:
                os.close(held)
                raise

    @contextmanager
    def _filling(self, seconds: float) -> Iterator[None]:
        """Be the only process that changes the cache, in the block."""
        lock = filelock.FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=seconds)
        except filelock.Timeout:
            raise DatasetError(f"another process has been filling {self.folder} for {seconds:g} s; end it") from None
        try:
            yield
        finally:
            lock.release()

    def _make_room(self, size: int, keep: Path) -> None:
        """Remove datasets, but not `keep`, until `size` bytes have room. Raises DatasetError if there is none."""
        sizes = {each: _size(each) for each in self.folder.iterdir() if each.is_dir()}
        others = sorted((each for each in sizes if each != keep), key=_opened)
        while others and sum(sizes.values()) + size > self.limit:
            old = others.pop(0)
            with _lock_file(old).open("ab") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # a process has it open
                shutil.rmtree(old)
                del sizes[old]
        self._require(size, self.limit - sum(sizes.values()), "has, beside datasets in use, room for", keep)
        self._require(size, shutil.disk_usage(self.folder).free, "is on a disk with", keep)

    def _require(self, size: int, room: int, has: str, folder: Path) -> None:
        if size > room:
            raise DatasetError(
                f"the dataset {folder.name[:16]}... is not on this machine, and {size:,} bytes of it do not fit into "
                f"the cache: {self.folder} {has} {max(0, room):,} bytes; set {SIZE} or {PLACE}, or copy the dataset"
            )


def _copy(shard: Shard, fetch: Fetch, folder: Path) -> None:
    """Fetch a shard. Raises DatasetError if its bytes are not those of the manifest; then nothing is kept."""
    digest = hashlib.sha256()
    with whole_file(folder / shard.file) as file:
        for offset in range(0, shard.bytes, PART):
            size = min(PART, shard.bytes - offset)
            part = fetch(shard, offset, size)
            if len(part) != size:
                raise DatasetError(f"{shard.file} has {offset + len(part)} bytes where it is, expected {shard.bytes}")
            digest.update(part)
            file.write(part)
        if (found := digest.hexdigest()) != shard.sha256:
            raise DatasetError(
                f"{shard.file} was fetched with the SHA-256 {found[:16]}..., expected {shard.sha256[:16]}...; it is "
                "damaged where it is: restore it there"
            )


def _intact(folder: Path, shard: Shard) -> bool:
    path = folder / shard.file
    return path.is_file() and path.stat().st_size == shard.bytes and file_sha256(path) == shard.sha256


def _lock_file(folder: Path) -> Path:
    """The file whose lock says that the dataset in `folder` is open; its time says when it was opened last."""
    return folder.with_name(f"{folder.name}.lock")


def _opened(folder: Path) -> float:
    path = _lock_file(folder)
    return path.stat().st_mtime if path.exists() else 0.0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
