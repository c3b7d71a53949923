"""Shards: the format of the file, and reading without copies."""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ddmlp.data.manifest import Manifest
from ddmlp.data.shards import map_shard
from tests.support.shards import LABELS, PIXELS, SHAPE, write


def test_simple(shard):
    mapped = map_shard(shard, 5, SHAPE, 2)
    blocks = mapped.blocks
    assert [len(block.labels) for block in blocks] == [2, 2, 1]
    assert np.concatenate([block.pixels for block in blocks]).tolist() == PIXELS.reshape(5, 6).tolist()
    assert np.concatenate([block.labels for block in blocks]).tolist() == LABELS.tolist()
    assert {block.pixels.dtype for block in blocks} | {block.labels.dtype for block in blocks} == {np.dtype("u1")}
    rows = np.array([4, 0, 3, 3])
    pixels, labels = mapped.copy_rows(rows)
    assert pixels.view(np.uint8).reshape(4, 6).tolist() == PIXELS.reshape(5, 6)[rows].tolist()
    assert labels.tolist() == LABELS[rows].tolist()


@pytest.mark.parametrize("row", [1 << 10, 1 << 40, -(1 << 10), -(1 << 40)])
def test_row_outside_the_file(shard, row):
    """A wrong row number raises an error instead of reading outside the file or crashing."""
    mapped = map_shard(shard, 5, SHAPE, 2)
    for read in (mapped.copy_rows, mapped.locate_rows):
        with pytest.raises(IndexError):
            read(np.array([0, row]))


def test_read_by_pyarrow(data):
    path = data / "test" / Manifest.read(data / "test").shards[0].file
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    pixels, label = table.schema
    assert (pixels.name, pixels.nullable) == ("pixels", False)
    assert pixels.type == pa.fixed_shape_tensor(pa.uint8(), (28, 28))
    assert pixels.type.extension_name == "arrow.fixed_shape_tensor"
    assert label == pa.field("label", pa.uint8(), nullable=False)
    (block,) = map_shard(path, 1_000, (28, 28), 1_000).blocks
    assert table["label"].to_pylist() == block.labels.tolist()
    images = table["pixels"].combine_chunks().to_numpy_ndarray()
    assert images.shape == (1_000, 28, 28)
    assert (images.reshape(1_000, 784) == block.pixels).all()


def test_not_compressed(shard):
    content = shard.read_bytes()
    assert PIXELS[:2].tobytes() in content
    assert PIXELS[2:4].tobytes() in content
    assert PIXELS[4:].tobytes() in content


@pytest.mark.parametrize("shape", [(1, 1), (1, 784), (5, 7), (64, 64)])
def test_other_shapes(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (7, *shape), np.uint8)
    labels = np.arange(7, dtype=np.uint8)
    path = write(tmp_path / "shard", pixels, labels, 3)
    found = map_shard(path, 7, shape, 3).blocks
    assert [block.pixels.shape for block in found] == [(3, shape[0] * shape[1])] * 2 + [(1, shape[0] * shape[1])]
    assert (np.concatenate([block.pixels for block in found]).reshape(pixels.shape) == pixels).all()


def test_arrays_are_read_only(shard):
    for block in map_shard(shard, 5, SHAPE, 2).blocks:
        for array in block:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1


def mappings(path: Path) -> Iterator[range]:
    """Yield the address ranges where this process has mapped a file."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(f" {path}"):
            begin, end = line.split()[0].split("-")
            yield range(int(begin, 16), int(end, 16))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/maps")
def test_arrays_are_views(data, tmp_path):
    path = tmp_path / "shard"  # a copy, not mapped elsewhere
    shutil.copy(data / "train" / Manifest.read(data / "train").shards[0].file, path)
    allocated = pa.total_allocated_bytes()
    blocks = map_shard(path, 1_500, (28, 28), 1_000).blocks
    assert pa.total_allocated_bytes() == allocated
    (place,) = mappings(path)
    assert len(blocks) == 2
    for array in (array for block in blocks for array in block):
        begin = array.__array_interface__["data"][0]
        assert begin in place
        assert begin + array.nbytes - 1 in place
    one = blocks.pop()
    del blocks, array
    gc.collect()
    assert list(mappings(path)) == [place], "one block keeps the whole map"
    del one
    gc.collect()
    assert list(mappings(path)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems reject such names")
def test_folder_name_not_utf8(tmp_path, shard):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    shutil.copy(shard, folder / "shard")
    assert len(map_shard(folder / "shard", 5, SHAPE, 2).blocks) == 3
