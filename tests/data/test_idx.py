"""The IDX format: round trips, streaming, and every way in which a file can be wrong."""

import errno
import gzip
import os
import struct
import tracemalloc
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddmlp.data.idx import IdxReader, is_idx, read_idx, write_idx
from ddmlp.errors import IdxError

arrays = st.sampled_from([1, 3]).flatmap(
    lambda rank: hnp.arrays(np.uint8, hnp.array_shapes(min_dims=rank, max_dims=rank, min_side=0, max_side=4))
)


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">2xBB{len(shape)}I", code, len(shape), *shape)


def put(folder: Path, data: bytes, *, compress: bool = False) -> Path:
    path = folder / "file"
    path.write_bytes(gzip.compress(data, mtime=0) if compress else data)
    return path


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


def test_what_is_read_can_be_written_to(tmp_path):
    write_idx(tmp_path / "a", np.zeros(3, np.uint8))
    array = read_idx(tmp_path / "a")
    array += 1
    assert array.tolist() == [1, 1, 1]


def test_any_memory_layout_can_be_written(tmp_path):
    array = np.arange(48, dtype=np.uint8).reshape(2, 4, 6).T[::2]
    write_idx(tmp_path / "a", array)
    assert same(read_idx(tmp_path / "a"), np.ascontiguousarray(array))


def test_gzip_is_deterministic(tmp_path):
    for name in ("one", "two"):
        write_idx(tmp_path / name, np.arange(9, dtype=np.uint8), compress=True)
    packed = (tmp_path / "one").read_bytes()
    assert packed == (tmp_path / "two").read_bytes()
    assert packed[3:8] == bytes(5), "no flags, so no name, and time 0"


def test_gzip_of_several_members(tmp_path):
    data = header(0x08, 4) + b"abcd"
    path = put(tmp_path, gzip.compress(data[:7]) + gzip.compress(data[7:]))
    assert read_idx(path).tobytes() == b"abcd"


def test_the_name_does_not_decide_on_gzip(tmp_path):
    array = np.arange(5, dtype=np.uint8)
    write_idx(tmp_path / "plain.gz", array)
    write_idx(tmp_path / "packed", array, compress=True)
    assert same(read_idx(tmp_path / "plain.gz"), array)
    assert same(read_idx(tmp_path / "packed"), array)


def test_count_below_one(tmp_path):
    with IdxReader(put(tmp_path, header(0x08, 1) + b"x")) as reader, pytest.raises(ValueError, match="count is 0"):
        reader.read(0)


def test_other_files_are_no_idx(tmp_path):
    assert not is_idx(put(tmp_path, b"\x89PNG...."))
    assert not is_idx(put(tmp_path, b""))
    with pytest.raises(IdxError, match=f"{tmp_path}/absent: No such file"):
        is_idx(tmp_path / "absent")


# Wrong files: each message names the file and the byte, what was found, and what was expected.


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"byte 0{u}: found the end of the file, expected 4 more bytes; get a fresh copy"),
        (b"\0\0\x08", r"byte 3{u}: found the end of the file, expected 1 more bytes"),
        (b"\0\0\x08\x03\0\0\0\1\0\0", r"byte 10{u}: found the end of the file, expected 6 more bytes"),
        (b"\x89PNG....", r"byte 0{u}: found the bytes 89 50 4e 47, expected 00 00, a type and a rank; check"),
        (b"\0\1\x08\1\0\0\0\0", r"byte 0{u}: found the bytes 00 01 08 01, expected 00 00"),
        *(
            (header(code, 1) + bytes(8), rf"byte 2{{u}}: found the type 0x{code:02X}, expected 0x08 \(uint8\); check")
            for code in (0x00, 0x07, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0xFF)
        ),
        *(
            (
                header(0x08, *[1] * rank) + b"x",
                rf"byte 3{{u}}: found the rank {rank}, expected 1 .labels. or 3 .images.",
            )
            for rank in (0, 2, 4, 64, 255)
        ),
        (header(0x08, 1, 4_096, 4_097), r"byte 8{u}: found images of 4096 x 4097 pixels, expected 16,777,216 pixels"),
        (header(0x08, 2, *[2**32 - 1] * 2), r"byte 8{u}: found images of 4294967295 x 4294967295 pixels"),
        (header(0x08, 2, 0, 2**32 - 1), r"byte 8{u}: found images of 0 x 4294967295 pixels"),
    ],
)
def test_wrong_header(tmp_path, data, message, compress):
    path = put(tmp_path, data, compress=compress)
    unit = " of the uncompressed data" if compress else ""
    with pytest.raises(IdxError, match=str(path) + ", " + message.replace("{u}", unit)):
        IdxReader(path)


@pytest.mark.parametrize("size", [0, 1, 5, 7, 8])
def test_plain_file_of_the_wrong_size(tmp_path, size):
    path = put(tmp_path, header(0x08, 6) + bytes(size))
    expected = rf"byte {8 + min(size, 6)}: found a file of {8 + size} bytes, expected 14 \(8 of header, then 6 uint8\)"
    with pytest.raises(IdxError, match=expected):
        IdxReader(path)


def test_overlong_gzip(tmp_path):
    with IdxReader(put(tmp_path, header(0x08, 3) + b"abcd", compress=True)) as reader:
        assert reader.read(2).tobytes() == b"ab"
        with pytest.raises(IdxError, match=r"byte 11 of .*: found more data, expected the end .* after 3 uint8"):
            reader.read(1)
        with pytest.raises(IdxError, match="found the end of the file"):
            reader.read(1)  # a second try does not pass either


def test_overlong_gzip_without_items(tmp_path):
    with pytest.raises(IdxError, match="byte 8 of the uncompressed data: found more data"):
        IdxReader(put(tmp_path, header(0x08, 0) + b"a", compress=True))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", [(0,), (9,), (4, 3, 1)])
def test_truncation_at_every_byte(tmp_path, shape, compress):
    write_idx(tmp_path / "whole", np.ones(shape, np.uint8), compress=compress)
    whole = (tmp_path / "whole").read_bytes()
    assert len(whole) > 4
    for size in range(len(whole)):
        with pytest.raises(IdxError, match=r"found .*, expected "):
            read_idx(put(tmp_path, whole[:size]))


@pytest.mark.parametrize("compress", [False, True])
def test_bytes_after_the_end(tmp_path, compress):
    write_idx(tmp_path / "whole", np.ones((4, 3, 2), np.uint8), compress=compress)
    with pytest.raises(IdxError, match=r"found (a file of 41 bytes|damaged gzip data .*), expected"):
        read_idx(put(tmp_path, (tmp_path / "whole").read_bytes() + b"x"))


def test_corrupt_gzip(tmp_path):
    good = gzip.compress(header(0x08, 200) + os.urandom(200), mtime=0)
    for position in (*range(40, 48), len(good) - 8, len(good) - 1):
        damaged = bytearray(good)
        damaged[position] ^= 0xFF
        with pytest.raises(IdxError, match=r"byte \d+ of the uncompressed data: found damaged gzip data \(.+\)"):
            read_idx(put(tmp_path, bytes(damaged)))


@pytest.mark.parametrize("shape", [(2**32 - 1,), (2**32 - 1, 2**12, 2**12), (1, 2**12, 2**12)])
def test_a_giant_claim_takes_no_memory(tmp_path, shape):
    path = put(tmp_path, header(0x08, *shape) + bytes(1000), compress=True)
    end = 4 + 4 * len(shape) + 1000
    found = rf"byte {end:,} of the uncompressed data: found the end of the file, expected [\d,]+ more"
    tracemalloc.start()
    try:
        with IdxReader(path) as reader, pytest.raises(IdxError, match=found):
            reader.read(len(reader))
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_by_the_chunk(tmp_path):
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


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(IdxError, match=r"absent: no such file; expected an IDX file, plain or gzip"):
        IdxReader(tmp_path / "absent")
    with pytest.raises(IdxError, match=rf"{tmp_path}: Is a directory; expected an IDX file"):
        IdxReader(tmp_path)


# Writing: a whole file, or none.


@pytest.mark.parametrize("compress", [False, True])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, compress):
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
def test_other_arrays_are_refused(tmp_path, array, found):
    with pytest.raises(IdxError, match=f"found an array of {found}, expected uint8 of rank 1 .labels. or 3 .images."):
        write_idx(tmp_path / "a", array)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(IdxError, match=r"/no/a: No such file or directory; expected the name of a file in a folder"):
        write_idx(tmp_path / "no" / "a", np.zeros(1, np.uint8))
    with pytest.raises(IdxError, match=rf"{tmp_path}: Is a directory; expected the name of a file"):
        write_idx(tmp_path, np.zeros(1, np.uint8))
    assert list(tmp_path.iterdir()) == []
