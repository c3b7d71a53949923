"""Memory maps of a growing dataset: bounded, released, and created again."""

import ctypes
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from tests.support.numbered import add, numbers_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def mapped(path: Path) -> set[str]:
    """Return the files in a folder that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {Path(line.split()[-1]).name for line in lines if f" {path}/" in line}


def assert_mapped(path: Path, files: set[str]) -> None:
    """Wait until exactly these files are mapped; an Arrow thread may release a map a little later."""
    deadline = time.monotonic() + 10
    while mapped(path) != files and time.monotonic() < deadline:
        time.sleep(0.001)
    assert mapped(path) == files


@linux
def test_no_open_files(tmp_path):
    add(tmp_path / "data", *[1] * 50)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no object per entry
    dataset = Dataset(tmp_path / "data")
    assert len(mapped(dataset.path)) == 50
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert numbers_of(dataset) == list(range(50))


@linux
@pytest.mark.parametrize(("row", "first"), [(0, 0), (4, 0), (5, 1), (6, 1), (7, 2), (11, 2), (12, 3), (17, 4), (99, 4)])
def test_unmap_and_map_again(tmp_path, row, first):
    path = tmp_path / "data"
    add(path, 7)
    add(path, 10)
    dataset = Dataset(path)
    shards = [shard.file for shard in dataset.manifest.shards]
    assert [shard.rows for shard in dataset.manifest.shards] == [5, 2, 5, 5]
    dataset.forget(row)
    assert_mapped(path, set(shards[first:]))
    assert numbers_of(dataset, 12) == list(range(12, 17))
    assert_mapped(path, set(shards[min(first, 3) :]))
    assert numbers_of(dataset) == list(range(17))
    assert_mapped(path, set(shards))
    dataset.forget(row)
    assert_mapped(path, set(shards[first:]))


@linux
def test_few_maps_of_a_stream(tmp_path):
    path = tmp_path / "data"
    add(path, 5)
    dataset = Dataset(path)
    for _ in range(20):
        begin = len(dataset)
        add(path, 5, 5)
        assert len(dataset.grow()) == 2
        assert numbers_of(dataset, begin) == list(range(begin, begin + 10))
        dataset.forget(begin)
        assert_mapped(path, {shard.file for shard in dataset.manifest.shards[-2:]})


def test_deleted_when_unmapped(tmp_path):
    path = tmp_path / "data"
    add(path, 7)
    dataset = Dataset(path)
    dataset.forget(5)
    name = dataset.manifest.shards[0].file
    (path / name).unlink()
    assert numbers_of(dataset, 5) == [5, 6]
    with pytest.raises(DatasetError, match=f"{name} cannot be read: No such file"):
        numbers_of(dataset)


def test_locate(tmp_path):
    """The addresses have the requested order, and stay valid after the shards are unmapped."""
    pixels, labels = (
        np.arange(70 * 6, dtype=np.uint32).astype(np.uint8).reshape(70, 2, 3),
        np.arange(70, dtype=np.uint8),
    )
    with DatasetWriter(tmp_path / "train", (2, 3), 70, shard_rows=16) as writer:
        writer.append(pixels, labels)
    dataset, rows = Dataset(tmp_path / "train"), np.random.default_rng(1).permutation(70)[:50]
    found = dataset.locate(rows)
    dataset.forget(70)
    for address, label, row in zip(found.addresses.tolist(), found.labels.tolist(), rows.tolist(), strict=True):
        assert ctypes.string_at(address, 6) == pixels[row].tobytes()
        assert label == row
    assert len(found.maps) == 5
    assert dataset.locate(rows[:0]).addresses.tolist() == []
    with pytest.raises(DatasetError, match="no row 70"):
        dataset.locate(np.array([3, 70]))
