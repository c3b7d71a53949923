"""Datasets that grow while they are read: new shards are added, overwritten datasets are rejected."""

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from ddmlp.data import dataset as module
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.errors import DatasetError
from tests.support.numbered import add, numbers_of


def flip(path: Path) -> None:
    """Flip a bit of a pixel, which only the hash detects."""
    content = bytearray(path.read_bytes())
    content[content.index(bytes([7] * 4))] ^= 1
    path.write_bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A dataset of 7 rows in 2 shards."""
    add(tmp_path / "data", 7)
    return tmp_path / "data"


def test_simple(path):
    dataset = Dataset(path)
    assert dataset.grow() == ()
    add(path, 3, 12)
    assert len(dataset) == 7
    new = dataset.grow()
    assert [shard.rows for shard in new] == [3, 5, 5, 2]
    assert new == dataset.manifest.shards[2:]
    assert dataset.manifest == Manifest.read(path)
    assert numbers_of(dataset) == list(range(22))
    dataset.verify()
    assert dataset.grow() == ()


def test_end_only(path):
    dataset = Dataset(path)
    add(path, end=True)
    assert not dataset.manifest.ended
    assert dataset.grow() == ()
    assert dataset.manifest.ended
    assert numbers_of(dataset) == list(range(7))


def test_reads_new_manifest_once(path, monkeypatch):
    dataset, reads, real = Dataset(path), [], Manifest.read

    def count(folder: Path) -> Manifest:
        reads.append(folder)
        return real(folder)

    monkeypatch.setattr(module.Manifest, "read", count)
    for _ in range(3):
        assert dataset.grow() == ()
    assert reads == []
    add(path, 1)
    reads.clear()
    assert [len(dataset.grow()) for _ in range(3)] == [1, 0, 0]
    assert len(reads) == 1


def test_concurrent_publication(path, monkeypatch):
    """The manifest is replaced after its stamp was taken, and again after it was read."""
    dataset, real = Dataset(path), Manifest.read

    def late(folder: Path) -> Manifest:
        monkeypatch.undo()
        add(path, 1)
        found = real(folder)
        add(path, 1)
        return found

    add(path, 1)
    monkeypatch.setattr(module.Manifest, "read", late)
    assert [len(dataset.grow()) for _ in range(3)] == [2, 1, 0]
    assert len(dataset) == 10


def test_reader_and_writer(tmp_path):
    add(tmp_path / "data", 3)
    dataset = Dataset(tmp_path / "data", verify=True)
    thread = threading.Thread(target=add, args=(tmp_path / "data", *[1, 2, 6, 3] * 10), kwargs={"end": True})
    thread.start()
    seen = [*dataset.manifest.shards]
    while thread.is_alive():
        seen += dataset.grow()
        assert numbers_of(dataset) == list(range(len(dataset)))
    seen += dataset.grow()
    assert numbers_of(dataset) == list(range(123))
    assert dataset.manifest.ended
    assert tuple(seen) == dataset.manifest.shards


def test_overwritten(path):
    dataset = Dataset(path)
    before = dataset.manifest
    add(path, 4, 4, 4, overwrite=True)
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"data was overwritten: .* 2 shards"):
            dataset.grow()
    assert dataset.manifest is before
    assert numbers_of(dataset) == list(range(7)), "the maps keep the old rows"


def test_shortened(path):
    dataset = Dataset(path)
    dataset.manifest.prefix(1).write(path)
    with pytest.raises(DatasetError, match="was overwritten"):
        dataset.grow()


@pytest.mark.parametrize(("what", "value"), [("image_shape", (4, 1)), ("classes", 11), ("batch_rows", 6)])
def test_changed_form(path, what, value):
    dataset = Dataset(path)
    replace(dataset.manifest, **{what: value}).write(path)
    with pytest.raises(DatasetError) as caught:
        dataset.grow()
    before = getattr(dataset.manifest, what)
    assert f"{path} was overwritten: its {what} is {value}, expected {before}" in str(caught.value)


def test_deleted(path):
    dataset = Dataset(path)
    (path / NAME).unlink()
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"/data .*dataset\.json"):
            dataset.grow()
    dataset.manifest.write(path)
    assert dataset.grow() == ()


def test_damaged_new_shard(path):
    dataset = Dataset(path)
    add(path, 3, 3)
    (bad,) = [path / shard.file for shard in Manifest.read(path).shards[3:]]
    good = bad.read_bytes()
    bad.write_bytes(bytes(len(good)))
    for _ in range(2):
        with pytest.raises(DatasetError, match=f"{bad.name} is damaged"):
            dataset.grow()
        assert (len(dataset), len(dataset.manifest.shards)) == (7, 2)
    bad.write_bytes(good)
    assert len(dataset.grow()) == 2


@pytest.mark.parametrize("when", ["opened", "grown", "mapped again"])
def test_verify_when_mapped(tmp_path, when):
    path = tmp_path / "data"
    add(path, 3)
    if when != "opened":
        dataset, unverified = Dataset(path, verify=True), Dataset(path)
    add(path, 6)
    shard = path / Manifest.read(path).shards[1].file
    if when == "mapped again":
        assert len(dataset.grow()) == 2
        dataset.forget(8)
    flip(shard)
    with pytest.raises(DatasetError, match=f"{shard.name} is damaged: its SHA-256 is"):
        {
            "opened": lambda: Dataset(path, verify=True),
            "grown": lambda: dataset.grow(),
            "mapped again": lambda: numbers_of(dataset),
        }[when]()
    if when == "grown":
        assert len(unverified.grow()) == 2


def test_verify_given_shards(path):
    dataset = Dataset(path)
    shard = dataset.manifest.shards[1]
    (path / shard.file).write_bytes(bytes(shard.bytes))
    dataset.verify(dataset.manifest.shards[:1])
    dataset.verify([])
    for shards in (None, [shard]):
        with pytest.raises(DatasetError, match=f"{shard.file} is damaged: its SHA-256"):
            dataset.verify(shards)
