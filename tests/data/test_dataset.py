"""Reading datasets: correct rows, and errors for damaged datasets."""

import os
import re
import shutil
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ddmlp.data.dataset import Dataset, file_sha256
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.shards import map_shard
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from ddmlp.files import LOCK
from tests.support.datasets import listed, names, rows_of, shard, write


def test_simple(tmp_path):
    pixels, labels = rows_of(25)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10) as writer:
        writer.append(pixels[:13], labels[:13])
        writer.append(pixels[13:], labels[13:])
        lock, staging = names(tmp_path / "data")
        assert lock == LOCK
        assert staging.startswith(".writing-")
    assert names(tmp_path) == ["data"]
    dataset = Dataset(tmp_path / "data")
    assert [shard.file for shard in dataset.manifest.shards] == [
        f"{index:05d}-{shard.sha256[:12]}.arrow" for index, shard in enumerate(dataset.manifest.shards)
    ]
    assert names(tmp_path / "data") == listed(tmp_path / "data")
    dataset.verify()
    assert len(dataset) == 25
    assert [shard.rows for shard in dataset.manifest.shards] == [10, 10, 5]
    found = dataset.gather(np.array([24, 0, 9, 10, 10]))
    assert found[0].tolist() == pixels[[24, 0, 9, 10, 10]].reshape(5, 4).tolist()
    assert found[1].tolist() == labels[[24, 0, 9, 10, 10]].tolist()


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    shard_rows=st.integers(1, 50),
    chunks=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    seed=st.integers(0, 2**32),
)
def test_round_trip(tmp_path_factory, shape, shard_rows, chunks, seed):
    path = tmp_path_factory.mktemp("any") / "data"
    count = sum(chunks)
    pixels, labels = rows_of(count, shape, seed)
    with DatasetWriter(path, shape, 10, shard_rows=shard_rows) as writer:
        for end, size in zip(np.cumsum(chunks), chunks, strict=True):
            writer.append(pixels[end - size : end], labels[end - size : end])
    dataset = Dataset(path)
    dataset.verify()
    full, rest = divmod(count, shard_rows)
    assert [shard.rows for shard in dataset.manifest.shards] == [shard_rows] * full + [rest] * (rest > 0)
    rows = np.concatenate([np.arange(count), np.random.default_rng(seed).integers(0, count, 2 * count)])
    found = dataset.gather(rows)
    assert (found[0] == pixels[rows].reshape(len(rows), -1)).all()
    assert (found[1] == labels[rows]).all()


def test_across_record_batches(tmp_path):
    pixels, labels = rows_of(5_500)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=2_500) as writer:
        writer.append(pixels, labels)
    dataset = Dataset(tmp_path / "data")
    assert [len(block.labels) for block in map_shard(shard(dataset.path, 0), 2_500, (2, 2), 1_000).blocks] == [
        1_000,
        1_000,
        500,
    ]
    rows = np.array([0, 999, 1_000, 1_999, 2_000, 2_499, 2_500, 3_499, 3_500, 4_999, 5_000, 5_499, 0, 0])
    found = dataset.gather(rows)
    assert found[0].tolist() == pixels[rows].reshape(len(rows), 4).tolist()
    assert found[1].tolist() == labels[rows].tolist()


@pytest.mark.parametrize("row", [-1, -25, 25, 26, 1 << 40, -(1 << 40)])
@pytest.mark.parametrize("others", [[], [3], [24, 0, 12]])
def test_row_out_of_range(tmp_path, row, others):
    write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    for rows in ([row, *others], [*others, row]):
        with pytest.raises(DatasetError, match=rf"/data .*row {row}, .*0 to 24$"):
            dataset.gather(np.array(rows))


def test_no_rows(tmp_path):
    write(tmp_path / "data")
    pixels, labels = Dataset(tmp_path / "data").gather(np.arange(0))
    assert (pixels.shape, labels.shape) == ((0, 4), (0,))


def test_gather_copies(tmp_path):
    write(tmp_path / "data")
    dataset, rows = Dataset(tmp_path / "data"), np.array([3, 1, 2])
    for array in dataset.gather(rows):
        assert array.flags.c_contiguous
        array[...] = 0
    assert rows.tolist() == [3, 1, 2]
    assert dataset.gather(rows)[0].any()


def test_verify_flipped_bits(tmp_path):
    write(tmp_path / "data")
    path = shard(tmp_path / "data", 1)
    dataset = Dataset(tmp_path / "data")
    wrong = re.escape(str(path)) + r" is damaged: its SHA-256 is \w{16}\.\.\., expected"
    good = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at in range(len(good)):
            os.pwrite(file.fileno(), bytes([good[at] ^ 1 << at % 8]), at)
            with pytest.raises(DatasetError, match=wrong):
                dataset.verify()
            os.pwrite(file.fileno(), good[at : at + 1], at)
    dataset.verify()


def test_open_flipped_bits(tmp_path):
    write(tmp_path / "data", count=20)
    path = shard(tmp_path / "data", 1)
    wrong = f"^{re.escape(str(path))} (is damaged: |has )"
    good = path.read_bytes()
    for at in range(0, len(good), 3):  # reaches every bit of a byte, because 3 and 8 are coprime
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        with pytest.raises(DatasetError, match=wrong):
            Dataset(tmp_path / "data").verify()


def test_wrong_size(tmp_path):
    write(tmp_path / "data")
    path = shard(tmp_path / "data", 2)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(DatasetError) as caught:
        Dataset(tmp_path / "data")
    assert str(caught.value) == f"{path} has {size + 1} bytes, expected {size}; convert the data again"


def test_truncated_while_open(tmp_path):
    write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    path = shard(tmp_path / "data", 1)
    size = path.stat().st_size
    os.truncate(path, 100)
    with pytest.raises(DatasetError) as caught:
        dataset.verify()
    assert str(caught.value) == f"{path} has 100 bytes, expected {size}; convert the data again"


def test_missing_shard(tmp_path):
    write(tmp_path / "data")
    path = shard(tmp_path / "data", 1)
    path.unlink()
    with pytest.raises(DatasetError) as caught:
        Dataset(tmp_path / "data")
    assert str(caught.value).startswith(f"{path} cannot be read: No such file")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"rows": 10', '"rows": 7', "has 10 rows in record batch 0, expected 7; "),
        ('"batch_rows": 10', '"batch_rows": 7', "has 1 record batches, expected 2; "),
        ('"batch_rows": 10', '"batch_rows": 11', None),
        ('"classes": 10', '"classes": 7', "is damaged: it has the label 7, expected 0 to 6; "),
    ],
)
def test_inconsistent_manifest(tmp_path, old, new, expected):
    pixels, _ = rows_of(10)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10) as writer:
        writer.append(pixels, np.arange(10, dtype=np.uint8) % 8)
    manifest, path = tmp_path / "data" / NAME, shard(tmp_path / "data", 0)
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new))
    if expected is None:
        assert (Dataset(tmp_path / "data").gather(np.arange(10))[0] == pixels.reshape(10, 4)).all()
        return
    with pytest.raises(DatasetError) as caught:
        Dataset(tmp_path / "data")
    assert str(caught.value).startswith(f"{path} {expected}")


def test_wrong_image_shape(tmp_path):
    write(tmp_path / "data")
    manifest = Manifest.read(tmp_path / "data")
    replace(manifest, image_shape=(4, 1)).write(tmp_path / "data")
    with pytest.raises(DatasetError) as caught:
        Dataset(tmp_path / "data")
    assert str(caught.value).startswith(f"{shard(tmp_path / 'data', 0)} has the columns ['pixels': ")
    assert ", expected ['pixels': " in str(caught.value)


def test_zeroed_shard(tmp_path):
    write(tmp_path / "data")
    path = shard(tmp_path / "data", 2)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DatasetError, match=f"^{re.escape(str(path))} is damaged: "):
        Dataset(tmp_path / "data")


def test_moved_dataset(tmp_path):
    pixels, _ = write(tmp_path / "data")
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert (Dataset(tmp_path / "moved").gather(np.arange(25))[0] == pixels.reshape(25, 4)).all()


def test_memory_use(tmp_path):
    pixels, labels = rows_of(20_000, (28, 28))
    with DatasetWriter(tmp_path / "data", (28, 28), 10) as writer:
        writer.append(pixels, labels)
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        dataset = Dataset(tmp_path / "data")
        checked = 0
        for start in range(0, 20_000, 100):
            rows = np.arange(start, start + 100)
            found, _ = dataset.gather(rows)
            checked += int((found == pixels[rows].reshape(100, 784)).all())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert checked == 200
    assert peak < pixels.nbytes / 20
    assert pa.total_allocated_bytes() == arrow


def test_file_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
