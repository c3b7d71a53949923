"""The IDX format: round trips, streaming reads, and atomic writes."""

import errno
import gzip
import os
import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddmlp.data.idx import IdxReader, is_idx, read_idx, write_idx
from ddmlp.errors import IdxError
from tests.support.idx import header, put

arrays = st.sampled_from([1, 3]).flatmap(
    lambda rank: hnp.arrays(np.uint8, hnp.array_shapes(min_dims=rank, max_dims=rank, min_side=0, max_side=4))
)


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    return (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


def test_simple(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    path = tmp_path / "images"
    write_idx(path, images)
    assert path.read_bytes() == bytes.fromhex("00000803 00000004 00000002 00000003") + bytes(range(24))
    assert is_idx(path)
    assert same(read_idx(str(path)), images)
    with IdxReader(path) as reader:
        assert (reader.path, reader.shape, len(reader)) == (path, (4, 2, 3), 4)
        assert reader.offset == 16
        assert same(reader.read(3), images[:3])
        assert reader.offset == 16 + 18
        assert same(reader.read(3), images[3:])
        assert same(reader.read(3), images[4:])
        assert reader.offset == 16 + 24


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays, compress=st.booleans(), count=st.integers(1, 6))
def test_round_trip(tmp_path, array, compress, count):
    path = tmp_path / "array"
    write_idx(path, array, compress=compress)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == compress
    assert is_idx(path)
    assert same(read_idx(path), array)
    with IdxReader(path) as reader:
        chunks = list(reader.chunks(count))
    assert [len(chunk) for chunk in chunks[:-1]] == [count] * max(0, len(chunks) - 1)
    assert same(np.concatenate([array[:0], *chunks]), array)


def test_read_array_is_writable(tmp_path):
    write_idx(tmp_path / "a", np.zeros(3, np.uint8))
    array = read_idx(tmp_path / "a")
    array += 1
    assert array.tolist() == [1, 1, 1]


def test_any_memory_layout(tmp_path):
    array = np.arange(48, dtype=np.uint8).reshape(2, 4, 6).T[::2]
    write_idx(tmp_path / "a", array)
    assert same(read_idx(tmp_path / "a"), np.ascontiguousarray(array))


def test_gzip_is_deterministic(tmp_path):
    for name in ("one", "two"):
        write_idx(tmp_path / name, np.arange(9, dtype=np.uint8), compress=True)
    packed = (tmp_path / "one").read_bytes()
    assert packed == (tmp_path / "two").read_bytes()
    assert packed[3:8] == bytes(5), "no flags (so no file name), and time 0"


def test_gzip_of_several_members(tmp_path):
    data = header(0x08, 4) + b"abcd"
    path = put(tmp_path, gzip.compress(data[:7]) + gzip.compress(data[7:]))
    assert read_idx(path).tobytes() == b"abcd"


def test_gzip_by_content(tmp_path):
    array = np.arange(5, dtype=np.uint8)
    write_idx(tmp_path / "plain.gz", array)
    write_idx(tmp_path / "packed", array, compress=True)
    assert same(read_idx(tmp_path / "plain.gz"), array)
    assert same(read_idx(tmp_path / "packed"), array)


def test_count_below_one(tmp_path):
    with IdxReader(put(tmp_path, header(0x08, 1) + b"x")) as reader, pytest.raises(ValueError, match="count is 0"):
        reader.read(0)


def test_is_idx(tmp_path):
    assert not is_idx(put(tmp_path, b"\x89PNG...."))
    assert not is_idx(put(tmp_path, b""))
    with pytest.raises(IdxError, match=f"{tmp_path}/absent: No such file"):
        is_idx(tmp_path / "absent")


def test_memory_use(tmp_path):
    path = tmp_path / "long"
    write_idx(path, np.zeros((10_000, 50, 50), np.uint8), compress=True)
    tracemalloc.start()
    try:
        with IdxReader(path) as reader:
            rows = sum(len(chunk) for chunk in reader.chunks(500))
        assert tracemalloc.get_traced_memory()[1] < 2**23, "of 24 MiB in the file"
    finally:
        tracemalloc.stop()
    assert rows == 10_000


@pytest.mark.parametrize("compress", [False, True])
def test_failed_write(tmp_path, monkeypatch, compress):
    (tmp_path / "a").write_bytes(b"old")
    full = mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IdxError, match=f"{tmp_path}/a: No space left on device"):
        write_idx(tmp_path / "a", np.zeros(3, np.uint8), compress=compress)
    full.assert_called_once()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


@pytest.mark.parametrize(
    ("array", "found"),
    [
        *((np.zeros(2, dtype), f"{np.dtype(dtype)} of rank 1") for dtype in ("int8", "uint16", "float32", "bool")),
        *((np.zeros([1] * rank, np.uint8), f"uint8 of rank {rank}") for rank in (0, 2, 4)),
    ],
)
def test_unsupported_arrays(tmp_path, array, found):
    with pytest.raises(IdxError, match=f"{found}, expected uint8 of rank 1 .* or 3"):
        write_idx(tmp_path / "a", array)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_paths(tmp_path):
    with pytest.raises(IdxError, match=r"/no/a: No such file or directory"):
        write_idx(tmp_path / "no" / "a", np.zeros(1, np.uint8))
    with pytest.raises(IdxError, match=rf"{tmp_path}: Is a directory"):
        write_idx(tmp_path, np.zeros(1, np.uint8))
    assert list(tmp_path.iterdir()) == []
