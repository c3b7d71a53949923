"""Arrow IPC streams: cut anywhere, damaged anywhere, and what is none."""

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.errors import DatasetError
from tests.support.streams import MARKER, batch, columns, ends, source_of, stream, tensor

LISTS = np.arange(8, dtype=np.uint8).reshape(2, 4).tolist()


def test_a_stream_cut_anywhere(tmp_path):
    """What Arrow itself takes for an end between two messages included."""
    content = stream(batch(3), batch(4, 3))
    complete = ends(content)
    for cut in range(len(content)):
        with source_of(content[:cut], tmp_path / "stream") as source:
            rows = 0
            try:
                for each in read_stream(source, "it", 10):
                    rows += len(each.labels)
            except DatasetError as error:
                assert str(error).startswith("it is damaged, or no Arrow IPC stream: ")  # noqa: PT017
            assert source.lost == "end of file"
            assert rows == sum(size for size, end in zip((3, 4), complete, strict=True) if end <= cut)
    with source_of(content + b"more", tmp_path / "stream") as source:
        assert sum(len(each.labels) for each in read_stream(source, "it", 10)) == 7
        assert source.lost is None
        assert bytes(source.read(4)) == b"more", "nothing is read beyond the marker"


def attempt(content: bytes, path: Path) -> str | None:
    """What is wrong with a stream, if anything is."""
    with source_of(content, path) as source:
        try:
            for pixels, labels in read_stream(source, "it", 10):
                assert pixels.shape == (len(labels), 2, 2) or pixels.shape[0] == len(labels)
                assert int(pixels.sum()) >= 0, "every byte can be read"
                assert labels.max() < 10
        except DatasetError as error:
            assert "\n" not in str(error)  # noqa: PT017
            return str(error)
    return None


FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = {
    "tensor": stream(batch(3), batch(4, 3)),
    "list": columns(pa.array(LISTS, pa.list_(pa.uint8()))),
    "nulls": columns(pa.array([*LISTS, [1, 2, None, 4]], pa.list_(pa.uint8()))),
    "zstd": stream(batch(300), compression="zstd"),
}


@FUZZ
@given(content=st.binary(max_size=200), begin=st.sampled_from([b"", MARKER[:4], MARKER[:4] + b"\x78\0\0\0"]))
def test_garbage_is_a_dataset_error(tmp_path, content, begin):
    found = attempt(begin + content, tmp_path / "stream")
    assert found is not None
    assert "Arrow IPC stream" in found


@FUZZ
@given(
    content=st.sampled_from(sorted(KINDS)).map(KINDS.get),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3),
)
def test_a_damaged_byte_is_a_dataset_error(tmp_path, content, places):
    damaged = bytearray(content)
    for place, flip in places:
        damaged[int(place * len(content))] ^= flip
    attempt(bytes(damaged), tmp_path / "stream")


def test_rows_beyond_the_message(tmp_path):
    """Lists of the right length, in a place where there is nothing."""
    content, offsets, beyond = KINDS["list"], struct.pack("<3i", 0, 4, 8), 1 << 28
    assert content.count(offsets) == 1
    content = content.replace(offsets, struct.pack("<3i", beyond, beyond + 4, beyond + 8))
    assert attempt(content, tmp_path / "stream").startswith("it is damaged, or no Arrow IPC stream: In column 0: ")


@pytest.mark.parametrize("begin", [b"ARROW1\0\0", b"hello, world", b"\xff\xff\xff\xff\xff\xff\xff\x7f"])
def test_what_is_no_stream_is_refused(tmp_path, begin):
    assert "no Arrow IPC stream (an Arrow file is none)" in attempt(begin + bytes(100), tmp_path / "stream")


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_what_arrow_decompresses_is_taken(tmp_path, compression):
    content = stream(batch(300), batch(2, 300), compression=compression)
    with source_of(content, tmp_path / "stream") as source:
        found = [pixels[:, 0, 0].tolist() for pixels, _ in read_stream(source, "it", 10)]
    assert found == [[number % 256 for number in range(300)], [300 % 256, 301 % 256]]


def test_rows_that_look_like_the_marker(tmp_path):
    """The last column of the last message ends with the marker's very bytes."""
    content = columns(tensor(np.zeros((4, 2, 2), np.uint8)), pa.array([255] * 4, pa.uint8()))
    assert content.endswith(2 * MARKER)
    with source_of(content[:-8], tmp_path / "stream") as source:
        assert [len(labels) for _, labels in read_stream(source, "it", 256)] == [4]
        assert source.lost == "end of file"
