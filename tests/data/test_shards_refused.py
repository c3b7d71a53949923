"""Shards that are damaged, or have another form than expected."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from ddmlp.data.shards import Block, ShardWriter, map_shard, schema
from ddmlp.errors import DatasetError
from tests.support.shards import LABELS, PIXELS, SHAPE
from tests.support.streams import tensor


def foreign(path: Path, batches: list[pa.RecordBatch], **options: str) -> Path:
    """Write an Arrow file as another program would."""
    with pa.ipc.new_file(path, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


def batch(fields: pa.Schema, *columns: pa.Array) -> pa.RecordBatch:
    return pa.record_batch(list(columns), schema=fields)


def refusal(path: Path, *, rows: int = 5, shape: tuple[int, int] = SHAPE, batch_rows: int = 2) -> str:
    with pytest.raises(DatasetError) as caught:
        map_shard(path, rows, shape, batch_rows)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert "\n" not in message
    return message


def attempt(path: Path) -> list[Block] | str:
    """Return the blocks of a shard of five rows, or the error."""
    try:
        return map_shard(path, 5, SHAPE, 2).blocks
    except DatasetError as error:
        return str(error)


def test_truncated(tmp_path, shard):
    content = shard.read_bytes()
    path = tmp_path / "cut.arrow"
    for size in [*range(0, len(content), 11), len(content) - 1]:
        path.write_bytes(content[:size])
        assert "is damaged: " in refusal(path)


def test_flipped_byte(tmp_path, shard):
    content = shard.read_bytes()
    path = tmp_path / "flipped.arrow"
    refused = 0
    for at in range(0, len(content), 11):
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
def test_other_formats(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert re.search(r" is damaged: .+; convert", refusal(path))


def test_arrow_stream(tmp_path):
    path = tmp_path / "stream"
    rows = batch(schema(SHAPE), tensor(PIXELS), pa.array(LABELS, pa.uint8()))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_batch(rows)
    assert "is damaged: " in refusal(path)


def test_abandoned(tmp_path):
    writer = ShardWriter(tmp_path / "shard", SHAPE)
    writer.write(PIXELS, LABELS)
    writer.abandon()
    assert "is damaged: " in refusal(tmp_path / "shard")


def test_missing(tmp_path):
    assert "No such file or directory" in refusal(tmp_path / "nowhere")


def test_other_image_shape(shard):
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
def test_other_columns(tmp_path, fields, found):
    named = [(name, pa.fixed_shape_tensor(pa.uint8(), SHAPE) if kind == "tensor" else kind, n)
             for name, kind, n in fields]  # fmt: skip
    empty = pa.schema([pa.field(name, kind, nullable=nullable) for name, kind, nullable in named])
    path = tmp_path / "other"
    with pa.ipc.new_file(path, empty):
        pass
    message = refusal(path)
    assert found in message.split(", expected [")[0]
    assert ", expected ['pixels': extension<arrow.fixed_shape_tensor" in message


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
def test_other_batches(shard, rows, batch_rows, expected):
    message = refusal(shard, rows=rows, batch_rows=batch_rows)
    assert message.startswith(f"{shard} {expected}; convert")


def test_uneven_batches(tmp_path):
    batches = [
        batch(schema(SHAPE), tensor(PIXELS[a:b]), pa.array(LABELS[a:b], pa.uint8())) for a, b in [(0, 1), (1, 5)]
    ]
    path = foreign(tmp_path / "uneven", batches)
    assert refusal(path, batch_rows=3).startswith(f"{path} has 1 rows in record batch 0, expected 3; convert")
