"""Checks of messages before Arrow reads them: sizes that would exhaust memory, and other formats."""

import gzip
import io
import struct

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from ddmlp.data.sources import arrow_messages
from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.errors import DatasetError
from tests.support.signatures import written
from tests.support.streams import MARKER, SCHEMA, Sent, batch, columns, stream, tensor

COMPRESSIONS = ["zstd", "lz4"]


def rows(content: bytes) -> int:
    source = Sent(content)
    count = sum(len(each.labels) for each in read_stream(source, "it", 10))
    assert source.lost is None
    return count


def refusal(content: bytes) -> str:
    with pytest.raises(DatasetError) as caught:
        rows(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def zeros(count: int) -> pa.RecordBatch:
    return pa.record_batch([tensor(np.zeros((count, 2, 2), np.uint8)), pa.array(np.zeros(count, np.int64))], SCHEMA)


def with_column(whole: pa.RecordBatch, column: pa.Array) -> pa.RecordBatch:
    return pa.record_batch([*whole.columns, column], names=[*whole.schema.names, "other"])


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_decompressed_size(monkeypatch, compression):
    """A row takes 12 bytes; the numbers are such that Arrow adds no padding."""
    content = stream(zeros(100_000), compression=compression)
    assert rows(content) == 100_000
    monkeypatch.setattr(arrow_messages, "MAX_BODY_BYTES", 1_200_000)
    assert rows(content) == 100_000
    monkeypatch.setattr(arrow_messages, "MAX_BODY_BYTES", 1_199_999)
    before = pa.default_memory_pool().bytes_allocated()
    message = refusal(content)
    assert "1,200,000" in message
    assert "1,199,999" in message
    assert pa.default_memory_pool().bytes_allocated() - before < 100_000  # a collection may free a few bytes of others


def test_other_columns():
    bomb = with_column(zeros(5), pa.array([b"\0" * 100_000] * 5))
    before = pa.default_memory_pool().max_memory()
    assert rows(stream(bomb, compression="zstd")) == 5
    assert pa.default_memory_pool().max_memory() - before < 1_000_000


@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
def test_dictionary_size(monkeypatch, compression):
    """Three columns, each with a dictionary of 40,000 bytes."""
    whole = zeros(2)
    for letter in "abc":
        column = pa.array([letter * 40_000] * 2).dictionary_encode()
        whole = pa.record_batch([*whole.columns, column], names=[*whole.schema.names, letter])
    content = stream(whole, compression=compression) if compression else stream(whole)
    assert rows(content) == 2
    assert rows(content + content) == 4
    monkeypatch.setattr(arrow_messages, "MAX_BODY_BYTES", 100_000)
    assert "dictionaries" in refusal(content)


def test_replaced_dictionary(monkeypatch):
    monkeypatch.setattr(arrow_messages, "MAX_BODY_BYTES", 100_000)
    parts = [with_column(zeros(1), pa.array([letter * 40_000]).dictionary_encode()) for letter in "abcd"]
    assert rows(stream(*parts)) == 4
    grown = [pa.array([letter * 40_000 for letter in "abcd"[: index + 1]]) for index in range(4)]
    parts = [with_column(zeros(1), pa.DictionaryArray.from_arrays([0], words)) for words in grown]
    assert "dictionaries" in refusal(stream(*parts, emit_dictionary_deltas=True))


def test_number_of_rows(monkeypatch):
    monkeypatch.setattr(arrow_messages, "MAX_ROWS", 100)
    assert rows(stream(zeros(100))) == 100
    assert "101 rows" in refusal(stream(zeros(101)))


def test_schema_size():
    noted = zeros(2).replace_schema_metadata({"author": "x" * 1_000_000})
    assert rows(stream(noted)) == 2
    noted = zeros(2).replace_schema_metadata({"author": "x" * (1 << 20)})
    assert "bytes of metadata" in refusal(stream(noted))


@pytest.mark.parametrize("size", [-2, -(2**63), 1 << 40, 2**63 - 1])
def test_false_buffer_size(size):
    """-1 marks an uncompressed buffer; Arrow itself rejects other sizes that are too small."""
    content = stream(zeros(1_000), compression="zstd")
    at = content.rindex(struct.pack("<q", 4_000))
    refusal(content[:at] + struct.pack("<q", size) + content[at + 8 :])


TABLE = pa.table({"pixels": [[1, 2]], "label": [1]})
FILE = io.BytesIO()
with pa.ipc.new_file(FILE, SCHEMA) as writer:
    writer.write_batch(batch(3))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (FILE.getvalue(), ["an Arrow IPC file", "new_stream"]),
        (written(lambda out: feather.write_feather(TABLE, out)), ["an Arrow IPC file", "new_stream"]),
        (written(lambda out: parquet.write_table(TABLE, out)), ["a Parquet file", "new_stream"]),
        (b"label,pixel0\n5,0\n", ["CSV text", "new_stream"]),
        (b'{"label": 5, "pixels": [0]}\n', ["JSON text", "new_stream"]),
        (b"Obj\x01\x04\x16avro.schema", ["an Avro file", "new_stream"]),
        (b"\0\0\x08\x03\0\0\0\1", ["an IDX file", "new_stream"]),
        (gzip.compress(stream(batch(3)), mtime=0), ["gzip data", "gunzip"]),
        (pa.compress(stream(batch(3)), "zstd", asbytes=True), ["Zstandard data", "unzstd"]),
        (b"<!DOCTYPE html>", ["a web page", "download"]),
        (b"hi", ["text", "new_stream"]),
        (bytes.fromhex("ffffffffffffff7f") + bytes(100), ["2,147,483,647 bytes of metadata", "byte 0"]),
        (bytes(8), ["00 00 00 00 00 00 00 00", "new_stream"]),
        (MARKER, ["byte 0", "no schema"]),
        (MARKER[:4] + struct.pack("<i", 100) + bytes(100), ["byte 0", "no schema"]),
        (MARKER[:4] + struct.pack("<i", 8) + b"\xff" * 8, ["byte 0", "cannot be read"]),
    ],
    ids=range(16),
)
def test_other_formats(content, named):
    message = refusal(content)
    assert [part for part in named if part not in message] == []


def test_damaged_message():
    """The error names the offset of the second record batch, whose metadata is damaged."""
    content = stream(batch(3), batch(4, 3))
    second = content.rindex(MARKER[:4], 0, len(content) - 8)
    damaged = content[: second + 8] + b"\xff" * 20 + content[second + 28 :]
    assert f"at byte {second:,}" in refusal(damaged)


@pytest.mark.parametrize("options", [{"use_legacy_format": True}, {"metadata_version": pa.ipc.MetadataVersion.V4}])
def test_older_formats(options):
    assert rows(stream(batch(3), batch(4, 3), **options)) == 7


def test_order_of_columns():
    reordered = columns(tensor(np.zeros((3, 2, 2), np.uint8)), pa.array([1, 2, 3]))
    whole = pa.ipc.open_stream(reordered).read_all().combine_chunks().to_batches()[0].select(["label", "pixels"])
    found = [each.labels.tolist() for each in read_stream(Sent(stream(whole)), "it", 10)]
    assert found == [[1, 2, 3]]
