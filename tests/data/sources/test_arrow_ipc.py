"""Arrow IPC streams: truncated anywhere, damaged anywhere, and other data."""

import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.errors import DatasetError
from tests.support.streams import MARKER, Sent, batch, columns, ends, stream, tensor

LISTS = np.arange(8, dtype=np.uint8).reshape(2, 4).tolist()


def test_cut_anywhere():
    """Including cuts between two messages, which Arrow takes for the end."""
    content = stream(batch(3), batch(4, 3))
    complete = ends(content)
    for cut in range(len(content)):
        source = Sent(content[:cut])
        rows = sum(len(each.labels) for each in read_stream(source, "it", 10))
        assert source.lost == "end of file"
        assert rows == sum(size for size, end in zip((3, 4), complete, strict=True) if end <= cut)


def attempt(content: bytes) -> str | None:
    """Return the error for a stream, or why it broke off; None if it is complete."""
    source = Sent(content)
    try:
        for pixels, labels in read_stream(source, "it", 10):
            assert pixels.shape == (len(labels), 2, 2) or pixels.shape[0] == len(labels)
            assert int(pixels.sum()) >= 0, "every byte can be read"
            assert labels.max() < 10
    except DatasetError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return str(error)
    return source.lost


KINDS = {
    "tensor": stream(batch(3), batch(4, 3)),
    "list": columns(pa.array(LISTS, pa.list_(pa.uint8()))),
    "nulls": columns(pa.array([*LISTS, [1, 2, None, 4]], pa.list_(pa.uint8()))),
    "zstd": stream(batch(300), compression="zstd"),
}


@given(content=st.binary(max_size=200), begin=st.sampled_from([b"", MARKER[:4], MARKER[:4] + b"\x78\0\0\0"]))
def test_garbage(content, begin):
    found = attempt(begin + content)
    assert found is not None
    assert "Arrow IPC stream" in found or found == "end of file"


@given(
    content=st.sampled_from(sorted(KINDS)).map(KINDS.get),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3),
)
def test_damaged_byte(content, places):
    damaged = bytearray(content)
    for place, flip in places:
        damaged[int(place * len(content))] ^= flip
    attempt(bytes(damaged))


def test_offsets_out_of_range():
    """The lists have the right length, but offsets beyond the data."""
    content, offsets, beyond = KINDS["list"], struct.pack("<3i", 0, 4, 8), 1 << 28
    assert content.count(offsets) == 1
    content = content.replace(offsets, struct.pack("<3i", beyond, beyond + 4, beyond + 8))
    assert "In column 0: " in attempt(content)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed(compression):
    source = Sent(stream(batch(300), batch(2, 300), compression=compression))
    found = [pixels[:, 0, 0].tolist() for pixels, _ in read_stream(source, "it", 10)]
    assert found == [[number % 256 for number in range(300)], [300 % 256, 301 % 256]]


def test_rows_like_the_marker():
    """The last column of the last message ends with the bytes of the end-of-stream marker."""
    content = columns(tensor(np.zeros((4, 2, 2), np.uint8)), pa.array([255] * 4, pa.uint8()))
    assert content.endswith(2 * MARKER)
    source = Sent(content[:-8])
    assert [len(labels) for _, labels in read_stream(source, "it", 256)] == [4]
    assert source.lost == "end of file"
