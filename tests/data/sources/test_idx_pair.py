"""Pairs of IDX files: finding them, and pairs that do not match."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.idx import read_idx, write_idx
from ddmlp.data.sources.idx_pair import CHUNK_BYTES, Pair, find_pairs
from ddmlp.errors import IdxError

USUAL = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def put(folder: Path, images: np.ndarray, labels: np.ndarray) -> Pair:
    write_idx(folder / "images", images)
    write_idx(folder / "labels", labels)
    return Pair(folder / "images", folder / "labels")


def refusal(pair: Pair) -> str:
    with pytest.raises(IdxError) as caught:
        pair.open()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_simple(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2_500, 32, 32), np.uint8)
    pair = put(tmp_path, images, np.arange(2_500, dtype=np.uint8) % 7)
    with pair.open() as source:
        assert (source.rows, source.image_shape, source.count_classes()) == (2_500, (32, 32), 7)
        batches = [*source.batches(7)]
    assert [len(rows.labels) for rows in batches] == [1_024, 1_024, 452], f"{CHUNK_BYTES} bytes of pixels each"
    assert (np.concatenate([rows.pixels for rows in batches]) == images).all()
    assert (np.concatenate([rows.labels for rows in batches]) == read_idx(pair.labels)).all()


@pytest.mark.parametrize("joint", "-.")
@pytest.mark.parametrize("end", ["", ".gz"])
def test_find_pairs(tmp_path, joint, end):
    found = [name.replace("-idx", f"{joint}idx") + end for name in USUAL]
    for name in found:
        (tmp_path / name).touch()
    train, test = find_pairs(tmp_path)
    assert [*train, *test] == [tmp_path / name for name in found]


@pytest.mark.parametrize("missing", USUAL)
def test_missing_file(tmp_path, missing):
    for name in USUAL:
        if name != missing:
            (tmp_path / name).touch()
    with pytest.raises(IdxError) as caught:
        find_pairs(tmp_path)
    dotted = missing.replace("-idx", ".idx")
    there = ", ".join(sorted({*USUAL} - {missing}))
    expected = f"expected one of the files {missing}, {missing}.gz, {dotted}, {dotted}.gz"
    assert str(caught.value) == f"{tmp_path} has {there}; {expected}"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "cannot be read: No such file"),
        ({}, "is empty"),
        ({f"{n}.zip": b"PK" for n in range(9)}, "has 0.zip, 1.zip, 2.zip, 3.zip, 4.zip, ..."),
        (b"PK\3\4" + bytes(50), "is a zip archive, not a folder: unpack it; "),
        (b"<!DOCTYPE html>", "is a web page (HTML), not a folder: download"),
        (b"\0", "is a file, not a folder; "),
    ],
)
def test_other_folders(tmp_path, content, found):
    path = tmp_path / "source"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
        for name, data in content.items():
            (path / name).write_bytes(data)
    with pytest.raises(IdxError) as caught:
        find_pairs(path)
    assert str(caught.value).startswith(f"{path} {found}")
    assert "train-images-idx3-ubyte" in str(caught.value)


def test_different_counts(tmp_path):
    pair = put(tmp_path, np.zeros((3, 2, 2), np.uint8), np.zeros(2, np.uint8))
    assert refusal(pair).startswith(f"{pair.images} has 3 images, but {pair.labels} has 2 labels")


def test_swapped_files(tmp_path):
    pair = put(tmp_path, np.zeros((6, 2, 2), np.uint8), np.zeros(6, np.uint8))
    assert re.match(rf"{pair.labels}: .*rank 1, expected images, of rank 3", refusal(Pair(pair.labels, pair.images)))
    assert re.match(rf"{pair.images}: .*rank 3, expected labels, of rank 1", refusal(Pair(pair.images, pair.images)))


@pytest.mark.parametrize("shape", [(0, 5, 7), (3, 0, 7), (3, 5, 0)])
def test_no_pixels(tmp_path, shape):
    pair = put(tmp_path, np.zeros(shape, np.uint8), np.zeros(shape[0], np.uint8))
    assert refusal(pair) == (
        f"{pair.images} has {shape[0]} images of {shape[1]} x {shape[2]} pixels, expected at least one, "
        "of 1 to 16,777,216 pixels"
    )


def test_largest_images(tmp_path):
    pair = put(tmp_path, np.zeros((1, 4_096, 4_096), np.uint8), np.zeros(1, np.uint8))
    with pair.open() as source:
        assert source.image_shape == (4_096, 4_096)
        assert [rows.pixels.shape for rows in source.batches(1)] == [(1, 4_096, 4_096)]


def test_huge_header(tmp_path):
    pair = put(tmp_path, np.zeros((2, 1, 1), np.uint8), np.zeros(2, np.uint8))
    pair.images.write_bytes(gzip.compress(struct.pack(">2xBB3I", 8, 3, 2, 2**31 - 1, 2**31 - 1)))
    assert "found images of 2147483647 x 2147483647 pixels, expected at most 16,777,216" in refusal(pair)


def test_label_out_of_range(tmp_path):
    labels = np.zeros(1_700, np.uint8)
    labels[1_234] = 3
    pair = put(tmp_path, np.zeros((1_700, 32, 32), np.uint8), labels)  # the wrong label is in the second chunk
    with pair.open() as source, pytest.raises(IdxError) as caught:
        list(source.batches(3))
    assert str(caught.value).startswith(
        f"{pair.labels}: the label at byte 1242 (row 1234) is 3, expected 0 to 2; --classes"
    )
    assert pair.labels.read_bytes()[1242] == 3
