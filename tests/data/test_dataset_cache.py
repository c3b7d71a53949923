"""Datasets that are fetched: whole, verified, bounded, once per machine."""

import threading
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data import dataset_cache as module
from ddmlp.data.dataset import Dataset
from ddmlp.data.dataset_cache import DatasetCache
from ddmlp.data.manifest import Shard
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError, DatasetError


class Far:
    """A dataset elsewhere, which counts what is fetched; `change` alters a part on its way."""

    def __init__(self, folder: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        with DatasetWriter(folder, image_shape=(4, 4), classes=3, shard_rows=100) as writer:
            writer.append(rng.integers(0, 256, (250, 4, 4), np.uint8), rng.integers(0, 3, 250).astype(np.uint8))
        self.dataset, self.fetched = Dataset(folder), []
        self.size = sum(shard.bytes for shard in self.dataset.manifest.shards)
        self.change = lambda part: part

    def read_part(self, shard: Shard, offset: int, size: int) -> bytes:
        assert size <= module.PART
        self.fetched.append(shard.file)
        return self.change(self.dataset.read_part(shard, offset, size))


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(tmp_path / "far", 0)


@pytest.fixture
def cache(tmp_path: Path, far: Far) -> DatasetCache:
    return DatasetCache(tmp_path / "cache", int(2.5 * far.size))


def fetch(cache: DatasetCache, far: Far, seconds: float = 60) -> Dataset:
    return cache.fetch(far.dataset.manifest, far.read_part, seconds)


def test_simple(cache: DatasetCache, far: Far, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PART", 1000)
    here = fetch(cache, far)
    rows = np.arange(250)[::-1]
    for found, expected in zip(here.gather(rows), far.dataset.gather(rows), strict=True):
        assert np.array_equal(found, expected)
    assert here.manifest.sha256() == far.dataset.manifest.sha256()
    assert len(far.fetched) > len(here.manifest.shards) == 3
    count = len(far.fetched)
    fetch(cache, far)
    assert len(far.fetched) == count, "it was fetched again"


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_copy(cache: DatasetCache, far: Far, damage: str):
    path = fetch(cache, far).path / far.dataset.manifest.shards[1].file
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else data[:500] + bytes([data[500] ^ 1]) + data[501:])
    far.fetched.clear()
    fetch(cache, far)
    assert far.fetched == [path.name]
    assert path.read_bytes() == data


@pytest.mark.parametrize("wrong", [lambda part: part[:-1], lambda part: part + b"x", lambda part: part[::-1]])
def test_wrong_answer(cache: DatasetCache, far: Far, wrong):
    far.change = wrong
    with pytest.raises(DatasetError, match=far.dataset.manifest.shards[0].file):
        fetch(cache, far)
    assert [path.name for path in cache.folder.rglob("*.arrow*")] == []
    far.change = lambda part: part
    assert len(fetch(cache, far)) == 250


def test_interrupted(cache: DatasetCache, far: Far):
    """What was fetched before the connection broke is kept."""

    def broken(shard: Shard, offset: int, size: int) -> bytes:
        if len(far.fetched) == 2:
            raise ConnectionError("gone")
        return far.read_part(shard, offset, size)

    with pytest.raises(ConnectionError):
        cache.fetch(far.dataset.manifest, broken, 60)
    (cache.folder / far.dataset.manifest.sha256() / ".left.arrow.1.tmp").touch()
    here = fetch(cache, far)
    assert len(far.fetched) == 3
    assert [path.name for path in here.path.glob(".*")] == []


def test_oldest_is_evicted(cache: DatasetCache, far: Far, tmp_path: Path):
    """There is room for two; one that is open stays."""
    second, third = Far(tmp_path / "second", 1), Far(tmp_path / "third", 2)
    held = fetch(cache, far)
    old = fetch(cache, second).path
    assert old.exists()
    new = fetch(cache, third).path
    assert new.exists()
    assert held.path.exists()
    assert not old.exists()
    del held
    fetch(cache, second)
    assert len(far.fetched) == 3
    fetch(cache, far)
    assert len(far.fetched) == 6, "it was not evicted, although it was the oldest"


def test_all_are_in_use(cache: DatasetCache, far: Far, tmp_path: Path):
    held = [fetch(cache, far), fetch(cache, Far(tmp_path / "second", 1))]
    with pytest.raises(DatasetError, match="DDMLP_CACHE_BYTES"):
        fetch(cache, Far(tmp_path / "third", 2))
    assert all(each.path.exists() for each in held)


def test_larger_than_the_cache(far: Far, tmp_path: Path):
    with pytest.raises(DatasetError, match=f"{far.size - 1:,}"):
        fetch(DatasetCache(tmp_path / "cache", far.size - 1), far)
    assert far.fetched == []


def test_two_workers(cache: DatasetCache, far: Far):
    """The second waits, and finds what the first has fetched."""
    started, released = threading.Event(), threading.Event()

    def slow(shard: Shard, offset: int, size: int) -> bytes:
        started.set()
        assert released.wait(60)
        return far.read_part(shard, offset, size)

    first = threading.Thread(target=lambda: cache.fetch(far.dataset.manifest, slow, 60))
    first.start()
    assert started.wait(60)
    try:
        with pytest.raises(DatasetError, match="another process"):
            fetch(cache, far, seconds=0)
    finally:
        released.set()
        first.join()
    fetch(cache, far)
    assert len(far.fetched) == 3


def test_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DDMLP_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("DDMLP_CACHE_BYTES", "1234")
    found = DatasetCache.of_user()
    assert (found.folder, found.limit) == (tmp_path / "here" / "data", 1234)
    monkeypatch.setenv("DDMLP_CACHE_BYTES", "-1")
    with pytest.raises(ConfigError, match="DDMLP_CACHE_BYTES"):
        DatasetCache.of_user()
    monkeypatch.setenv("DDMLP_CACHE_BYTES", "1234")
    (tmp_path / "file").touch()
    monkeypatch.setenv("DDMLP_CACHE", str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match="DDMLP_CACHE"):
        DatasetCache.of_user()


def test_other_shard(far: Far):
    """Only the shards of the manifest can be read."""
    shard = far.dataset.manifest.shards[0]
    for other in (Shard("secrets", 1, 1, shard.sha256), Shard(shard.file, shard.rows, shard.bytes, 64 * "0")):
        with pytest.raises(DatasetError, match=other.file):
            far.dataset.read_part(other, 0, 10)
