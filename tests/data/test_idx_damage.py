"""Damaged IDX files: each message names the file, the byte, what was found and what was expected."""

import gzip
import os
import tracemalloc

import numpy as np
import pytest

from ddmlp.data.idx import IdxReader, read_idx, write_idx
from ddmlp.errors import IdxError
from tests.support.idx import header, put
from tests.support.signatures import tarred, zipped


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"byte 0{u}: found an empty file, expected 4 more bytes; "),
        (b"\0\0\x08", r"byte 3{u}: found the end of the file, expected 1 more bytes"),
        (b"\0\0\x08\x03\0\0\0\1\0\0", r"byte 10{u}: found the end of the file, expected 6 more bytes"),
        (b"\x89PNG....", r"byte 0{u}: found the bytes 89 50 4e 47, expected 00 00, a type and a rank; "),
        (b"\0\1\x08\1\0\0\0\0", r"byte 0{u}: found the bytes 00 01 08 01, expected 00 00"),
        *(
            (header(code, 1) + bytes(8), rf"byte 2{{u}}: found the type 0x{code:02X}, expected 0x08 \(uint8\); ")
            for code in (0x00, 0x07, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0xFF)
        ),
        *(
            (
                header(0x08, *[1] * rank) + b"x",
                rf"byte 3{{u}}: found the rank {rank}, expected 1 .labels. or 3 .images.",
            )
            for rank in (0, 2, 4, 64, 255)
        ),
        (header(0x08, 1, 4_096, 4_097), r"byte 8{u}: found images of 4096 x 4097 pixels, expected .*16,777,216 pixels"),
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
def test_plain_file_size(tmp_path, size):
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
            reader.read(1)  # a second call fails, too


@pytest.mark.parametrize(
    ("tail", "good"),
    [
        (gzip.compress(b"", mtime=0), True),
        (bytes(512), True),  # padding, which gzip allows
        (gzip.compress(b"x", mtime=0), False),
        (b"x", False),
        (bytes(512) + b"x", False),
        (gzip.compress(b"", mtime=0)[:-1], False),
    ],
)
def test_after_a_gzip_member(tmp_path, tail, good):
    path = put(tmp_path, gzip.compress(header(0x08, 3) + b"abc") + tail)
    if good:
        assert read_idx(path).tobytes() == b"abc"
        return
    with pytest.raises(IdxError, match=r"byte 11 of the uncompressed data"):
        read_idx(path)


@pytest.mark.parametrize("begin", [header(0x08, 3), b"\0\0\x01", b""])
def test_gzip_bomb(tmp_path, begin):
    path = put(tmp_path, begin + bytes(1 << 24), compress=True)
    tracemalloc.start()
    try:
        with pytest.raises(IdxError):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_overlong_empty_gzip(tmp_path):
    with pytest.raises(IdxError, match="byte 8 of the uncompressed data: found more data"):
        IdxReader(put(tmp_path, header(0x08, 0) + b"a", compress=True))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", [(0,), (9,), (4, 3, 1)])
def test_truncated_anywhere(tmp_path, shape, compress):
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
def test_header_of_a_huge_file(tmp_path, shape):
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


def test_missing_file(tmp_path):
    with pytest.raises(IdxError, match=r"absent: no such file; expected an IDX file"):
        IdxReader(tmp_path / "absent")
    with pytest.raises(IdxError, match=rf"{tmp_path}: Is a directory; expected an IDX file"):
        IdxReader(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "found", "remedy"),
    [
        (b"<!DOCTYPE html><html><body>Sign in", "a web page (HTML)", "download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer", "git lfs pull"),
        (zipped("train-images-idx3-ubyte"), "a zip archive", "unpack it"),
        (zipped("images.npy"), "a NumPy .npz file", "write_idx"),
        (tarred("train-images-idx3-ubyte"), "a tar archive", "unpack it"),
        (b"\0\0\0\x18ftypheic", "an HEIC picture", "write_idx"),
        (b"\0\0\x01\0\x01\0\x20\x20\0\0\x01\0", "an icon (ICO)", "write_idx"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture", "write_idx"),
        (b"PAR1\x15\x04", "a Parquet file", "write_idx"),
        (b"label,pixel0\n5,0\n", "CSV text", "write_idx"),
    ],
    ids=range(10),
)
def test_other_formats(tmp_path, content, found, remedy, packed):
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(IdxError) as caught:
        IdxReader(path)
    assert f": found {found}, expected an IDX file; " in str(caught.value)
    assert remedy in str(caught.value)


def test_gzip_in_gzip(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(gzip.compress(bytes(100))))
    with pytest.raises(IdxError, match=r"found gzip data, .*gunzip"):
        IdxReader(path)
