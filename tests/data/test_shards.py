"""Shards: what is in the file, that it is read without a copy, and every way in which it can be damaged."""

import gc
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ddmlp.data.manifest import Manifest
from ddmlp.data.shards import Block, ShardWriter, map_shard, schema
from ddmlp.errors import DatasetError

SHAPE = 2, 3
PIXELS = np.arange(30, dtype=np.uint8).reshape(5, *SHAPE)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def write(path: Path, pixels: np.ndarray, labels: np.ndarray, batch_rows: int) -> Path:
    writer = ShardWriter(path, pixels.shape[1:])
    for start in range(0, len(labels), batch_rows):
        writer.write(pixels[start : start + batch_rows], labels[start : start + batch_rows])
    assert writer.rows == len(labels)
    writer.close()
    return path


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Five rows of 2 x 3 pixels, in record batches of 2."""
    return write(tmp_path / "shard.arrow", PIXELS, LABELS, 2)


def foreign(path: Path, batches: list[pa.RecordBatch], **options: str) -> Path:
    """An Arrow file that somebody else wrote."""
    with pa.ipc.new_file(path, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


def batch(fields: pa.Schema, *columns: pa.Array) -> pa.RecordBatch:
    return pa.record_batch(list(columns), schema=fields)


def tensor(pixels: np.ndarray) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(pixels))


def refusal(path: Path, *, rows: int = 5, shape: tuple[int, int] = SHAPE, batch_rows: int = 2) -> str:
    with pytest.raises(DatasetError) as caught:
        map_shard(path, rows, shape, batch_rows)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert "\n" not in message
    return message


def attempt(path: Path) -> list[Block] | str:
    """The blocks of a shard of five rows, or what is wrong with it."""
    try:
        return map_shard(path, 5, SHAPE, 2).blocks
    except DatasetError as error:
        return str(error)


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
def test_a_place_outside_is_refused(shard, row):
    """A wrong row number reads nothing but the shard's file, and does not end the process."""
    with pytest.raises(IndexError):
        map_shard(shard, 5, SHAPE, 2).copy_rows(np.array([0, row]))


def test_plain_pyarrow_reads_what_we_wrote(data):
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


def test_the_file_is_not_compressed(shard):
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


def test_the_arrays_cannot_be_written_to(shard):
    for block in map_shard(shard, 5, SHAPE, 2).blocks:
        for array in block:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1


def mappings(path: Path) -> Iterator[range]:
    """Where this process has mapped a file."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(f" {path}"):
            begin, end = line.split()[0].split("-")
            yield range(int(begin, 16), int(end, 16))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/maps is Linux's")
def test_the_arrays_are_views_of_the_map(data, tmp_path):
    path = tmp_path / "shard"  # which nobody else has mapped
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
    assert list(mappings(path)) == [place], "one block holds the whole map"
    del one
    gc.collect()
    assert list(mappings(path)) == []


def test_a_truncated_shard_is_refused(tmp_path, shard):
    content = shard.read_bytes()
    path = tmp_path / "cut.arrow"
    for size in [*range(0, len(content), 3), len(content) - 1]:
        path.write_bytes(content[:size])
        assert "is damaged: " in refusal(path)


def test_a_flipped_byte_is_a_dataset_error(tmp_path, shard):
    content = shard.read_bytes()
    path = tmp_path / "flipped.arrow"
    refused = 0
    for at in range(0, len(content), 3):
        flip = 0xFF if at % 2 else 1 << at % 8
        path.write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
        found = attempt(path)
        if isinstance(found, str):
            refused += 1
            assert found.startswith(f"{path} ")
            assert "\n" not in found
        else:
            assert [block.pixels.shape for block in found] == [(2, 6), (2, 6), (1, 6)]
            assert [block.labels.shape for block in found] == [(2,), (2,), (1,)]
    assert refused


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"ARROW1\0\0" * 40, b"PK\3\4" + bytes(500), bytes(5_000)])
def test_what_is_no_arrow_file_is_refused(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert re.search(r" is damaged: .+; convert the data again$", refusal(path))


def test_an_arrow_stream_is_no_shard(tmp_path):
    path = tmp_path / "stream"
    rows = batch(schema(SHAPE), tensor(PIXELS), pa.array(LABELS, pa.uint8()))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_batch(rows)
    assert "is damaged: " in refusal(path)


def test_an_abandoned_shard_is_refused(tmp_path):
    writer = ShardWriter(tmp_path / "shard", SHAPE)
    writer.write(PIXELS, LABELS)
    writer.abandon()
    assert "is damaged: " in refusal(tmp_path / "shard")


def test_a_missing_shard_is_refused(tmp_path):
    assert "No such file or directory" in refusal(tmp_path / "nowhere")


def test_images_of_another_shape(shard):
    message = refusal(shard, shape=(3, 2))
    found, expected = message.split(", expected ")
    assert "shape=[2,3]" in found
    assert "shape=[3,2]" in expected
    assert "'label': uint8 not null" in expected


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([("pixels", "tensor", False), ("label", pa.int64(), False)], "'label': int64 not null"),
        ([("pixels", "tensor", False), ("label", pa.uint8(), True)], "'label': uint8]"),
        ([("pixels", "tensor", True), ("label", pa.uint8(), False)], "'label': uint8 not null]"),
        ([("images", "tensor", False), ("label", pa.uint8(), False)], "'images': extension"),
        (
            [("label", pa.uint8(), False), ("pixels", "tensor", False)],
            "has the columns ['label': uint8 not null, 'pixels'",
        ),
        ([("pixels", "tensor", False)], "has the columns ['pixels': extension"),
        ([("pixels", pa.binary(), False), ("label", pa.uint8(), False)], "'pixels': binary not null"),
        ([("pixels", pa.list_(pa.uint8(), 6), False), ("label", pa.uint8(), False)], "'pixels': fixed_size_list<"),
    ],
)
def test_other_columns_are_named(tmp_path, fields, found):
    named = [(name, pa.fixed_shape_tensor(pa.uint8(), SHAPE) if kind == "tensor" else kind, n)
             for name, kind, n in fields]  # fmt: skip
    empty = pa.schema([pa.field(name, kind, nullable=nullable) for name, kind, nullable in named])
    path = tmp_path / "other"
    with pa.ipc.new_file(path, empty):
        pass
    message = refusal(path)
    assert found in message.split(", expected [")[0]
    assert ", expected ['pixels': extension<arrow.fixed_shape_tensor" in message


@pytest.mark.parametrize("column", ["pixels", "label"])
def test_nulls_are_refused(tmp_path, column):
    pixels, labels = tensor(PIXELS), pa.array(LABELS, pa.uint8())
    if column == "label":
        labels = pa.array([1, None, 3, 4, 5], pa.uint8())
    else:
        storage = pa.array([[1] * 6, None, *[[2] * 6] * 3], pixels.type.storage_type)
        pixels = pa.ExtensionArray.from_storage(pixels.type, storage)
    path = foreign(tmp_path / "nulls", [batch(schema(SHAPE), pixels, labels)])
    assert "null" in refusal(path, batch_rows=5)


@pytest.mark.parametrize(
    ("rows", "batch_rows", "expected"),
    [
        (4, 2, "has 3 record batches, expected 2"),
        (6, 2, "has 1 rows in record batch 2, expected 2"),
        (7, 2, "has 3 record batches, expected 4"),
        (5, 3, "has 3 record batches, expected 2"),
        (5, 1, "has 3 record batches, expected 5"),
        (5, 5, "has 3 record batches, expected 1"),
        (7, 3, "has 2 rows in record batch 0, expected 3"),
    ],
)
def test_other_rows_or_batches_are_named(shard, rows, batch_rows, expected):
    message = refusal(shard, rows=rows, batch_rows=batch_rows)
    assert message == f"{shard} {expected}; convert the data again"


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_batches_are_refused(tmp_path, compression):
    """Their rows would lie in memory of their own."""
    pixels, labels = np.zeros((5, 64, 64), np.uint8), pa.array([7] * 5, pa.uint8())
    path = foreign(tmp_path / "packed", [batch(schema((64, 64)), tensor(pixels), labels)], compression=compression)
    assert "has a compressed record batch 0" in refusal(path, shape=(64, 64), batch_rows=5)


def test_uneven_batches_are_refused(tmp_path):
    batches = [
        batch(schema(SHAPE), tensor(PIXELS[a:b]), pa.array(LABELS[a:b], pa.uint8())) for a, b in [(0, 1), (1, 5)]
    ]
    path = foreign(tmp_path / "uneven", batches)
    expected = f"{path} has 1 rows in record batch 0, expected 3; convert the data again"
    assert refusal(path, batch_rows=3) == expected
