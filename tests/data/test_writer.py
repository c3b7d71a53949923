"""Writing datasets: equal bytes for equal rows, bounded batches, and invalid rows and forms."""

from contextlib import ExitStack

import numpy as np
import pytest

from ddmlp.data import writer as module
from ddmlp.data.dataset import Dataset, file_sha256
from ddmlp.data.shards import map_shard
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from tests.support.datasets import content, names, rows_of, shard, write


def test_equal_rows_equal_bytes(tmp_path):
    pixels, labels = rows_of(25)
    for name, size in [("a", 1), ("b", 7), ("c", 25)]:
        with DatasetWriter(tmp_path / name, (2, 2), 10, shard_rows=10) as writer:
            for start in range(0, 25, size):
                writer.append(pixels[start : start + size], labels[start : start + size])
    assert content(tmp_path / "a") == content(tmp_path / "b") == content(tmp_path / "c")
    assert len(content(tmp_path / "a")) == 4


def test_batch_bytes(tmp_path, monkeypatch):
    assert module.BATCH_BYTES == 64 << 20
    for shape, rows in [((28, 28), 1_000), ((256, 256), 1_000), ((256, 512), 512), ((4_096, 4_096), 4)]:
        with ExitStack() as stack:
            stack.enter_context(pytest.raises(DatasetError, match=r"/data .*no rows"))
            assert stack.enter_context(DatasetWriter(tmp_path / "data", shape, 10)).batch_rows == rows
    monkeypatch.setattr(module, "BATCH_BYTES", 17)
    pixels, _ = write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    assert dataset.manifest.batch_rows == 4
    assert [len(block.labels) for block in map_shard(shard(dataset.path, 0), 10, (2, 2), 4).blocks] == [4, 4, 2]
    assert (dataset.gather(np.arange(25))[0] == pixels.reshape(25, 4)).all()


def test_finish_hides_rows(tmp_path):
    pixels, labels = rows_of(25)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10) as writer:
        writer.append(pixels, labels)
        writer.finish()
        (staging,) = (tmp_path / "data").glob(".writing-*")
        assert [file_sha256(path)[:12] in path.name for path in staging.iterdir()] == [True] * 3
    assert (Dataset(tmp_path / "data").gather(np.arange(25))[1] == labels).all()


def test_no_rows(tmp_path):
    with (
        pytest.raises(DatasetError, match=r"/data .*no rows"),
        DatasetWriter(tmp_path / "data", (2, 2), 10) as writer,
    ):
        writer.append(*rows_of(0))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("shape", "classes", "options", "found"),
    [
        ((0, 2), 10, {}, "(0, 2)"),
        ((-1, -2), 10, {}, "(-1, -2)"),
        ((8_192, 8_192), 10, {}, "(8192, 8192)"),
        ((2, 2), 0, {}, "classes is 0"),
        ((2, 2), 257, {}, "classes is 257"),
        ((2, 2), 10, {"shard_rows": 0}, "shard_rows is 0"),
        ((2, 2), 2, {"class_names": ("a", "a")}, "'a'"),
    ],
)
def test_invalid_form(tmp_path, shape, classes, options, found):
    with pytest.raises(DatasetError) as caught:
        DatasetWriter(tmp_path / "data", shape, classes, **options)
    assert str(caught.value).startswith(f"{tmp_path}/data: ")
    assert found in str(caught.value)
    assert names(tmp_path) == []


def test_numpy_integers(tmp_path):
    pixels, labels = rows_of(25)
    shape, classes = np.array(pixels.shape[1:]), np.uint8(10)
    with DatasetWriter(tmp_path / "data", (shape[0], shape[1]), classes) as writer:
        writer.append(pixels, labels)
    assert Dataset(tmp_path / "data").manifest.image_shape == (2, 2)
    assert Dataset(tmp_path / "data").manifest.classes == 10


@pytest.mark.parametrize(
    ("pixels", "labels", "found"),
    [
        (np.zeros((5, 3, 2), np.uint8), np.zeros(5, np.uint8), "uint8 (5, 3, 2) and labels uint8 (5,)"),
        (np.zeros((5, 1, 1), np.uint8), np.zeros(5, np.uint8), "uint8 (5, 1, 1) and labels uint8 (5,)"),
        (np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8), "uint8 (5, 4) and labels uint8 (5,)"),
        (np.zeros((1, 2, 2), np.uint8), np.zeros(5, np.uint8), "uint8 (1, 2, 2) and labels uint8 (5,)"),
        (np.zeros((5, 2, 2), np.uint8), np.zeros((5, 1), np.uint8), "uint8 (5, 2, 2) and labels uint8 (5, 1)"),
        (np.zeros((5, 2, 2), np.float32), np.zeros(5, np.uint8), "float32 (5, 2, 2) and labels uint8 (5,)"),
        (np.zeros((5, 2, 2), np.int8), np.zeros(5, np.uint8), "int8 (5, 2, 2) and labels uint8 (5,)"),
        (np.zeros((5, 2, 2), np.uint8), np.zeros(5, np.int64), "uint8 (5, 2, 2) and labels int64 (5,)"),
    ],
)
def test_wrong_shape_or_dtype(tmp_path, pixels, labels, found):
    with pytest.raises(DatasetError) as caught, DatasetWriter(tmp_path / "data", (2, 2), 10) as writer:
        writer.append(pixels, labels)
    assert str(caught.value) == (f"{tmp_path}/data: found pixels {found}, expected uint8 of (rows, 2, 2) and (rows,)")
    assert names(tmp_path) == []


def test_label_out_of_range(tmp_path):
    with pytest.raises(DatasetError) as caught, DatasetWriter(tmp_path / "data", (2, 2), 10) as writer:
        writer.append(rows_of(3)[0], np.array([9, 0, 10], np.uint8))
    assert str(caught.value) == f"{tmp_path}/data: found the label 10, expected 0 to 9"
    assert names(tmp_path) == []
