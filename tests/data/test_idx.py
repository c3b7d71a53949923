"""The IDX format: round trips, streaming, and every way in which a file can be wrong."""

import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddmlp.data.idx import DTYPES, IdxReader, IdxWriter, read_idx, write_idx
from ddmlp.errors import IdxError

arrays = st.sampled_from(list(DTYPES.values())).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
)


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">2xBB{len(shape)}I", code, len(shape), *shape)


def put(folder: Path, data: bytes, *, compress: bool = False) -> Path:
    path = folder / "file"
    path.write_bytes(gzip.compress(data, mtime=0) if compress else data)
    return path


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal to the bit, so that NaN payloads and the sign of zero count."""
    return (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


def test_simple(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    path = tmp_path / "images"
    write_idx(path, images)
    assert path.read_bytes() == bytes.fromhex("00000803 00000004 00000002 00000003") + bytes(range(24))
    assert same(read_idx(str(path)), images)
    with IdxReader(path) as reader:
        assert (reader.path, reader.shape, reader.dtype, len(reader)) == (path, (4, 2, 3), np.uint8, 4)
        assert reader.offset == 16
        assert same(reader.read(3), images[:3])
        assert reader.offset == 16 + 18
        assert same(reader.read(3), images[3:])
        assert same(reader.read(3), images[4:])
        assert reader.offset == 16 + 24


@pytest.mark.parametrize(("code", "dtype"), DTYPES.items())
def test_types_are_big_endian_in_the_file_and_native_in_memory(tmp_path, code, dtype):
    numbers = np.array([1, 2, 100], dtype)
    expected = header(code, 3) + numbers.astype(dtype.newbyteorder(">")).tobytes()
    for order in "<>":
        path = tmp_path / order
        write_idx(path, numbers.astype(dtype.newbyteorder(order)))
        assert path.read_bytes() == expected
        assert same(read_idx(path), numbers)
        assert read_idx(path).dtype.isnative


@settings(deadline=None, database=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays, compress=st.booleans(), read_count=st.integers(1, 6), write_count=st.integers(1, 6))
def test_round_trip(tmp_path, array, compress, read_count, write_count):
    path = tmp_path / "array"
    items = array if array.ndim else array.reshape(1)
    with IdxWriter(path, array.shape, array.dtype, compress=compress) as writer:
        for start in range(0, len(items), write_count):
            writer.write(items[start : start + write_count])
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == compress
    assert same(read_idx(path), array)
    with IdxReader(path) as reader:
        chunks = list(reader.chunks(read_count))
    assert [len(chunk) for chunk in chunks[:-1]] == [read_count] * max(0, len(chunks) - 1)
    assert same(np.concatenate([items[:0], *chunks]), items)


def test_ranks_up_to_numpys_limit(tmp_path):
    array = np.float64([[2.5, -1.5]]).reshape((1,) * 63 + (2,))
    write_idx(tmp_path / "deep", array)
    assert same(read_idx(tmp_path / "deep"), array)
    with pytest.raises(IdxError, match=r"byte 3: found the rank 65, expected at most 64"):
        read_idx(put(tmp_path, header(0x08, *[1] * 65) + b"x"))


def test_what_is_read_can_be_written_to(tmp_path):
    write_idx(tmp_path / "a", np.zeros(3, np.uint8))
    array = read_idx(tmp_path / "a")
    array += 1
    assert array.tolist() == [1, 1, 1]


def test_any_memory_layout_can_be_written(tmp_path):
    array = np.arange(24, dtype=np.int32).reshape(4, 6).T[::2]
    write_idx(tmp_path / "a", array)
    assert same(read_idx(tmp_path / "a"), np.ascontiguousarray(array))


def test_gzip_is_deterministic_and_nameless(tmp_path):
    for name in ("one", "two"):
        write_idx(tmp_path / name, np.arange(9, dtype=np.int16), compress=True)
    packed = (tmp_path / "one").read_bytes()
    assert packed == (tmp_path / "two").read_bytes()
    assert packed[3:8] == bytes(5), "no flags, so no name, and time 0"


def test_gzip_of_several_members_is_one_stream(tmp_path):
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


# Wrong files: each message names the file and the byte, what was found, and what was expected.


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"byte 0{u}: found the end of the file, expected 4 more bytes; get a fresh copy"),
        (b"\0\0\x08", r"byte 3{u}: found the end of the file, expected 1 more bytes"),
        (b"\0\0\x08\x02\0\0\0\1\0\0", r"byte 10{u}: found the end of the file, expected 2 more bytes"),
        (b"\x89PNG....", r"byte 0{u}: found the bytes 89 50 4e 47, expected 00 00, a type and a rank; check"),
        (b"\0\1\x08\1\0\0\0\0", r"byte 0{u}: found the bytes 00 01 08 01, expected 00 00"),
        (b"\0\0\x0a\1\0\0\0\0", r"byte 2{u}: found the type 0x0A, expected one of 0x08 \(uint8\), .*float64\); check"),
        (
            header(0x0C, *[2**32 - 1] * 2),
            r"byte 4: found sizes \(4294967295, 4294967295\) of int32, 73,786,976,260,478,468,100 bytes",
        ),
        (header(0x08, 0, *[2**32 - 1] * 2), r"byte 4: found sizes .* expected at most 2\*\*63 - 1"),
    ],
)
def test_wrong_header(tmp_path, data, message, compress):
    path = put(tmp_path, data, compress=compress)
    unit = " of the uncompressed data" if compress else ""
    with pytest.raises(IdxError, match=str(path) + ", " + message.replace("{u}", unit)):
        IdxReader(path)


@pytest.mark.parametrize("size", [0, 1, 5, 7, 8])
def test_plain_file_of_the_wrong_size_fails_on_opening(tmp_path, size):
    path = put(tmp_path, header(0x0B, 3) + bytes(size))
    expected = rf"byte {8 + min(size, 6)}: found a file of {8 + size} bytes, expected 14 \(8 of header, then 3 int16\)"
    with pytest.raises(IdxError, match=expected):
        IdxReader(path)


def test_overlong_gzip_fails_with_its_last_item(tmp_path):
    with IdxReader(put(tmp_path, header(0x08, 3) + b"abcd", compress=True)) as reader:
        assert reader.read(2).tobytes() == b"ab"
        with pytest.raises(IdxError, match=r"byte 11 of .*: found more data, expected the end .* after 3 uint8"):
            reader.read(1)
        with pytest.raises(IdxError, match="found the end of the file"):
            reader.read(1)  # a second try does not pass either


def test_overlong_gzip_without_items_fails_on_opening(tmp_path):
    with pytest.raises(IdxError, match="byte 8 of the uncompressed data: found more data"):
        IdxReader(put(tmp_path, header(0x08, 0) + b"a", compress=True))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (4, 3)])
def test_truncation_at_every_byte(tmp_path, shape, compress):
    write_idx(tmp_path / "whole", np.ones(shape, np.int16), compress=compress)
    whole = (tmp_path / "whole").read_bytes()
    assert len(whole) > 4
    for size in range(len(whole)):
        with pytest.raises(IdxError, match=r"found .*, expected "):
            read_idx(put(tmp_path, whole[:size]))


@pytest.mark.parametrize("compress", [False, True])
def test_bytes_after_the_end(tmp_path, compress):
    write_idx(tmp_path / "whole", np.ones((4, 3), np.int16), compress=compress)
    with pytest.raises(IdxError, match=r"found (a file of 37 bytes|damaged gzip data .*), expected"):
        read_idx(put(tmp_path, (tmp_path / "whole").read_bytes() + b"x"))


def test_corrupt_gzip(tmp_path):
    good = gzip.compress(header(0x08, 200) + os.urandom(200), mtime=0)
    for position in (*range(40, 48), len(good) - 8, len(good) - 1):
        damaged = bytearray(good)
        damaged[position] ^= 0xFF
        with pytest.raises(IdxError, match=r"byte \d+ of the uncompressed data: found damaged gzip data \(.+\)"):
            read_idx(put(tmp_path, bytes(damaged)))


@pytest.mark.parametrize("shape", [(2**40 // 2**32, 2**32 - 1), (2**32 - 1, 2**8), (1, 2**31, 2**9)])
def test_a_giant_claim_takes_no_memory(tmp_path, shape):
    path = put(tmp_path, header(0x08, *shape) + bytes(1000), compress=True)
    found = (
        rf"byte {4 + 4 * len(shape) + 1000:,} of the uncompressed data: found the end of the file, expected [\d,]+ more"
    )
    tracemalloc.start()
    try:
        with IdxReader(path) as reader, pytest.raises(IdxError, match=found):
            reader.read(len(reader))
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_by_the_chunk(tmp_path):
    path = tmp_path / "long"
    block = np.zeros((1000, 1000), np.int32)
    tracemalloc.start()
    try:
        with IdxWriter(path, (20_000, 1000), np.int32, compress=True) as writer:
            for _ in range(20):
                writer.write(block)
        with IdxReader(path) as reader:
            rows = sum(len(chunk) for chunk in reader.chunks(500))
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20, "of 76 MiB in the file"
    finally:
        tracemalloc.stop()
    assert rows == 20_000


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(IdxError, match=r"absent: no such file; expected an IDX file, plain or gzip"):
        IdxReader(tmp_path / "absent")
    with pytest.raises(IdxError, match=rf"{tmp_path}: Is a directory; expected an IDX file"):
        IdxReader(tmp_path)


# The writer: a whole file, or none.


def assert_only(folder: Path, **files: bytes) -> None:
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "found 0 items, expected the 3 of shape"),
        ([2], "found 2 items"),
        ([2, 2], "found item 4, expected only the 3"),
    ],
)
def test_wrong_number_of_items_leaves_the_old_file(tmp_path, batches, message, compress):
    (tmp_path / "a").write_bytes(b"old")

    def write() -> None:
        with IdxWriter(tmp_path / "a", (3, 2), np.uint8, compress=compress) as writer:
            for count in batches:
                writer.write(np.zeros((count, 2), np.uint8))

    with pytest.raises(IdxError, match=message):
        write()
    assert_only(tmp_path, a=b"old")


@pytest.mark.parametrize("written", [0, 3])
def test_an_exception_leaves_nothing(tmp_path, written):
    def write() -> None:
        with IdxWriter(tmp_path / "a", (3,), np.uint8) as writer:
            writer.write(np.zeros(written, np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert_only(tmp_path)


def test_a_file_is_replaced_at_the_end_of_the_block(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with IdxWriter(tmp_path / "a", (3,), np.uint8) as writer:
        writer.write(np.frombuffer(b"abc", np.uint8))
        assert (tmp_path / "a").read_bytes() == b"old"
    assert_only(tmp_path, a=header(0x08, 3) + b"abc")


@pytest.mark.parametrize(
    "items", [np.zeros((1, 2), np.int16), np.zeros((1, 3), np.uint8), np.zeros(2, np.uint8), np.uint8(1)]
)
def test_items_that_do_not_fit(tmp_path, items):
    with (
        pytest.raises(IdxError, match=r"found items of u?int\d+, shape .*, expected uint8 of shape \('n', 2\)"),
        IdxWriter(tmp_path / "a", (1, 2), np.uint8) as writer,
    ):
        writer.write(np.asarray(items))
    assert_only(tmp_path)


@pytest.mark.parametrize("dtype", ["uint16", "int64", "float16", "bool", "complex64", "U3", "O"])
def test_dtypes_that_idx_does_not_have(tmp_path, dtype):
    with pytest.raises(IdxError, match=r"found the dtype .*, expected one that IDX has: 0x08 \(uint8\)"):
        write_idx(tmp_path / "a", np.zeros(2, dtype))
    assert_only(tmp_path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2**32,), r"expected at most 64 axes of 0 to 4,294,967,295"),
        ((-1,), r"found the shape \(-1,\)"),
        ((1,) * 65, r"expected at most 64 axes"),
        ((2**31, 2**31, 2), r"expected at most 2\*\*63 - 1"),
    ],
)
def test_shapes_that_idx_or_numpy_cannot_hold(tmp_path, shape, message):
    with pytest.raises(IdxError, match=message):
        IdxWriter(tmp_path / "a", shape, np.uint8)


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(IdxError, match=r"No such file or directory; expected a folder that can be written to"):
        write_idx(tmp_path / "no" / "a", np.zeros(1, np.uint8))
    with pytest.raises(IdxError, match=r"found a folder, expected the name of a file"):
        write_idx(tmp_path, np.zeros(1, np.uint8))
    assert_only(tmp_path)
