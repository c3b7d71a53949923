"""Joined streams: the rows of all streams, and errors for other data between or after them."""

import gzip

import numpy as np
import pyarrow as pa
import pytest

from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.errors import DatasetError
from tests.support.streams import MARKER, SCHEMA, Sent, batch, columns, ends, stream, tensor


def numbers(*contents: bytes) -> list[int]:
    source = Sent(b"".join(contents))
    found = [int(pixel) for rows in read_stream(source, "it", 10) for pixel in rows.pixels[:, 0, 0]]
    assert source.lost is None
    return found


def refusal(*contents: bytes) -> tuple[str, int]:
    """Return the error for the streams, and the number of rows before it."""
    taken = 0
    with pytest.raises(DatasetError) as caught:  # noqa: PT012 - counts the rows before the error
        for rows in read_stream(Sent(b"".join(contents)), "it", 10):
            taken += len(rows.labels)
    assert "\n" not in str(caught.value)
    return str(caught.value), taken


def other(count: int, start: int, **extra: pa.Array) -> pa.RecordBatch:
    """Make rows with additional columns before and after."""
    whole = batch(count, start)
    columns = {"who": pa.array(["a"] * count), **dict(zip(whole.schema.names, whole.columns, strict=True)), **extra}
    return pa.record_batch(list(columns.values()), names=list(columns))


def test_simple():
    first, second = stream(batch(3), batch(2, 3)), stream(batch(4, 5))
    assert numbers(first, second) == list(range(9))


def test_one_row_per_stream():
    assert numbers(*(stream(batch(1, row)) for row in range(50))) == list(range(50))


def test_empty_streams():
    none = stream(batch(0))
    assert numbers(none, stream(batch(2)), none, none, stream(batch(1, 2)), none) == [0, 1, 2]


@pytest.mark.parametrize(
    "second",
    [
        stream(batch(4, 3), compression="zstd"),
        stream(batch(4, 3), compression="lz4"),
        stream(batch(4, 3).replace_schema_metadata({"author": "x" * 100_000})),
        stream(other(4, 3)),
        stream(other(4, 3, kind=pa.array(["x", "y", "x", "y"]).dictionary_encode())),
        stream(other(4, 3, kind=pa.array(["x", "y", "x", "y"]).dictionary_encode()), compression="zstd"),
        stream(batch(4, 3), use_legacy_format=True),
        stream(batch(4, 3), metadata_version=pa.ipc.MetadataVersion.V4),
        stream(pa.record_batch(batch(4, 3).columns, schema=pa.schema([each.with_nullable(False) for each in SCHEMA]))),
    ],
    ids=range(9),
)
def test_irrelevant_differences(second):
    assert numbers(stream(batch(3)), second) == list(range(7))
    assert numbers(second, stream(batch(1, 7))) == list(range(3, 8))


def test_changed_dictionaries():
    parts = [other(2, start, kind=pa.array([f"x{start}", "y"]).dictionary_encode()) for start in (0, 2, 4)]
    assert numbers(stream(*parts), stream(*parts[:1])) == [0, 1, 2, 3, 4, 5, 0, 1]


def test_nested_dictionaries():
    """A dictionary of lists of words that are encoded by another dictionary."""
    for word in "ab":
        words = pa.array([word * 9, "y"]).dictionary_encode()
        lists = pa.ListArray.from_arrays([0, 1, 2], words)
        parts = [other(2, start, kind=pa.DictionaryArray.from_arrays([0, 1], lists)) for start in (0, 2)]
        assert numbers(stream(*parts[:1]), stream(*parts)) == [0, 1, 0, 1, 2, 3]


@pytest.mark.parametrize(
    "second",
    [
        columns(tensor(np.zeros((2, 2, 3), np.uint8))),
        columns(tensor(np.zeros((2, 2, 2), np.uint8)), pa.array([1, 2], pa.int8())),
        columns(pa.array([[1, 2, 3, 4]], pa.list_(pa.uint8()))),
    ],
)
def test_other_columns(second):
    first = stream(batch(3))
    message, taken = refusal(first, second)
    assert f"at byte {len(first):,}" in message
    assert taken == 3


def test_list_lengths():
    kind = pa.list_(pa.uint8())
    message, taken = refusal(columns(pa.array([[1, 2], [3, 4]], kind)), columns(pa.array([[1, 2, 3]], kind)))
    assert "row 2 has 3 pixels, expected 2" in message
    assert taken == 2


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (b"\n", "0a"),
        (b"more", "text"),
        (bytes(8), "00 00 00 00 00 00 00 00"),
        (bytes(1_000), "00 00 00 00 00 00 00 00"),
        (gzip.compress(b"x", mtime=0), "gzip data"),
        (b"ARROW1\0\0" + bytes(100), "an Arrow IPC file"),
        (b"label,pixel0\n1,2\n", "CSV text"),
    ],
)
def test_other_data_after_end(more, named):
    first = stream(batch(3))
    message, taken = refusal(first, more)
    assert f"at byte {len(first):,}" in message
    assert named in message
    assert taken == 3


def test_missing_schema():
    first, second = stream(batch(3)), stream(batch(4, 3), batch(2, 7))
    begin = ends(second)[0]
    for more in (second[begin:], MARKER):
        message, taken = refusal(first, more)
        assert f"at byte {len(first):,}" in message
        assert taken == 3


def test_cut_anywhere():
    """A stream that is cut anywhere before its end-of-stream marker counts as broken off."""
    first, second = stream(batch(3)), stream(batch(4, 3))
    complete = ends(second)[0]
    for cut in range(1, len(second)):
        source = Sent(first + second[:cut])
        rows = sum(len(each.labels) for each in read_stream(source, "it", 10))
        assert source.lost == "end of file"
        assert rows == (7 if cut >= complete else 3)
