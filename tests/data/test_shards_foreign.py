"""Shards of other programs, or changed together with the manifest: the SHA-256 is right, but they are rejected if a
row would lie outside the map."""

import hashlib
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest, Shard
from ddmlp.data.shards import schema
from ddmlp.errors import DatasetError
from tests.support.shards import write

SHAPE, ROWS, WIDTH = (4, 16), 12, 64
RANDOM = np.random.default_rng(0)
SPARSE = np.where(RANDOM.random((ROWS, *SHAPE)) < 0.2, RANDOM.integers(0, 256, (ROWS, *SHAPE)), 0).astype(np.uint8)
DENSE = RANDOM.integers(0, 256, (ROWS, *SHAPE), np.uint8)
LABELS = np.arange(ROWS, dtype=np.uint8) % 5
FIELDS = schema(SHAPE)


def file_of(*batches: pa.RecordBatch, fields: pa.Schema = FIELDS, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, fields, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for each in batches:
            writer.write_batch(each)
    return bytes(sink.getvalue())


def rows(pixels: np.ndarray = DENSE, *, nulls: str = "", labels: pa.Array | None = None) -> pa.RecordBatch:
    """Make a record batch, with a null among the `pixels`, the `rows` or the `labels` although the fields forbid it."""
    values, label = [*pixels.reshape(-1).tolist()], [*LABELS.tolist()]
    if nulls == "pixels":
        values[70] = None
    if nulls == "labels":
        label[3] = None
    mask = pa.array([row == 2 for row in range(ROWS)]) if nulls == "rows" else None
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values, pa.uint8()), WIDTH, mask=mask)
    tensors = pa.ExtensionArray.from_storage(FIELDS.field("pixels").type, lists)
    return pa.record_batch([tensors, pa.array(label, pa.uint8()) if labels is None else labels], schema=FIELDS)


def split(batch: pa.RecordBatch, *at: int) -> list[pa.RecordBatch]:
    bounds = [0, *at, len(batch)]
    return [batch.slice(begin, end - begin) for begin, end in pairwise(bounds)]


def dataset(folder: Path, content: bytes, count: int = ROWS, batch_rows: int = ROWS) -> Path:
    """Write a dataset of one shard, with the right size and hash in the manifest; return the shard's path."""
    path = folder / "00000.arrow"
    path.write_bytes(content)
    shard = Shard(path.name, count, len(content), hashlib.sha256(content).hexdigest())
    Manifest(count, SHAPE, 5, batch_rows, (shard,)).write(folder)
    return path


def refusal(folder: Path, content: bytes, **options: int) -> str:
    path = dataset(folder, content, **options)
    with pytest.raises(DatasetError) as caught:
        Dataset(folder, verify=True)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert "\n" not in message
    return message


def footer_begins(content: bytes) -> int:
    return len(content) - 10 - struct.unpack("<i", content[-10:-6])[0]


def moved(content: bytes, begin: int, by: int) -> bytes:
    """Change the offset of the pixels in the metadata of the only record batch."""
    buffers = struct.pack("<qq", 0, ROWS * WIDTH)
    at = content.index(buffers)
    return content[:at] + struct.pack("<qq", begin + by, ROWS * WIDTH) + content[at + 16 :]


def dictionary() -> bytes:
    fields = pa.schema(
        [FIELDS.field("pixels"), pa.field("label", pa.dictionary(pa.int8(), pa.uint8()), nullable=False)]
    )
    codes = pa.DictionaryArray.from_arrays(pa.array(LABELS, pa.int8()), pa.array(range(5), pa.uint8()))
    return file_of(pa.record_batch([rows().column(0), codes], schema=fields), fields=fields)


GOOD = file_of(rows())
OTHER = file_of(rows(255 - DENSE))


def test_simple(tmp_path):
    """Files of ShardWriter and of pyarrow are accepted; every row lies in the map."""
    ours = write(tmp_path / "ours", DENSE, LABELS, 5).read_bytes()
    for content, batch_rows in [(ours, 5), (GOOD, ROWS), (file_of(*split(rows(), 5, 10)), 5)]:
        dataset(tmp_path, content, batch_rows=batch_rows)
        found = Dataset(tmp_path, verify=True)
        pixels, labels = found.gather(np.arange(ROWS))
        assert (pixels == DENSE.reshape(ROWS, WIDTH)).all()
        assert (labels == LABELS).all()
        for mapped in found.locate(np.arange(ROWS)).maps:
            for array in (array for block in mapped.blocks for array in block):
                begin = array.ctypes.data - mapped.content.ctypes.data
                assert 0 <= begin <= len(content) - array.size


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("pixels", [SPARSE, DENSE, np.zeros_like(DENSE)])
def test_compressed(tmp_path, pixels, compression):
    assert "compressed" in refusal(tmp_path, file_of(rows(pixels), compression=compression))


def test_incompressible(tmp_path):
    """Arrow stores buffers uncompressed, after a length, if compression would not make them smaller."""
    codec = pa.Codec("zstd")
    content = file_of(rows(), compression=codec)
    assert DENSE.tobytes() in content
    assert "compressed" in refusal(tmp_path, content)


def test_later_batch_compressed(tmp_path):
    """The last record batch is that of another, compressed file."""
    plain, packed = file_of(*split(rows(), 6)), file_of(*split(rows(SPARSE), 6), compression="lz4")
    assert "compressed" in refusal(tmp_path, packed, batch_rows=6)
    assert str(tmp_path) in refusal(tmp_path, plain[: len(plain) // 2] + packed[len(packed) // 2 :], batch_rows=6)


@pytest.mark.parametrize("nulls", ["pixels", "rows", "labels"])
def test_nulls(tmp_path, nulls):
    assert "null" in refusal(tmp_path, file_of(rows(nulls=nulls)))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda good: b"\0" + good, "damaged"),
        (lambda good: bytes(8) + good, "damaged"),
        (lambda good: bytes(64) + good, "damaged"),
        (lambda good: b"x" + good[1:], "ARROW1"),
        (lambda good: good + b"\0", "damaged"),
        (lambda good: good + bytes(64), "damaged"),
        (lambda good: good + good, "batches"),
        (lambda good: good + OTHER, "batches"),
        (lambda good: good[: footer_begins(good)] + bytes(8) + good[footer_begins(good) :], "footer"),
        (lambda good: good[: footer_begins(good) - 8] + good[footer_begins(good) :], "damaged"),
        (lambda good: good[:-1], "damaged"),
        (lambda good: good[: len(good) // 2], "damaged"),
        (lambda good: good[8 : footer_begins(good)], "damaged"),
        (lambda good: moved(good, 0, 8), "record batch 0"),
        (lambda good: moved(good, 0, -8), "damaged"),
        (lambda good: moved(good, 0, 1 << 40), "damaged"),
    ],
)
def test_changed_bytes(tmp_path, change: Callable[[bytes], bytes], found):
    """Bytes added before, after or inside, bytes cut off, a stream, and columns with other offsets."""
    assert found in refusal(tmp_path, change(GOOD))


def test_dictionary(tmp_path):
    assert "has the columns" in refusal(tmp_path, dictionary())


@pytest.mark.parametrize(("count", "batch_rows"), [(ROWS + 1, 64), (ROWS - 1, ROWS), (2**53, 2**53), (2**53, 1)])
def test_other_number_of_rows(tmp_path, count, batch_rows):
    assert "expected" in refusal(tmp_path, GOOD, count=count, batch_rows=batch_rows)
