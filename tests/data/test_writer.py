"""Writing datasets: the same bytes for the same rows, in bounded batches, and rows that are refused."""

from contextlib import ExitStack

import numpy as np
import pytest

from ddmlp.data import writer as module
from ddmlp.data.dataset import Dataset, file_sha256
from ddmlp.data.shards import map_shard
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from tests.support.datasets import content, names, rows_of, shard, write


def test_equal_rows_give_equal_bytes(tmp_path):
    pixels, labels = rows_of(25)
    for name, size in [("a", 1), ("b", 7), ("c", 25)]:
        with DatasetWriter(tmp_path / name, (2, 2), 10, shard_rows=10) as writer:
            for start in range(0, 25, size):
                writer.append(pixels[start : start + size], labels[start : start + size])
    assert content(tmp_path / "a") == content(tmp_path / "b") == content(tmp_path / "c")
    assert len(content(tmp_path / "a")) == 4


def test_a_record_batch_is_bounded(tmp_path, monkeypatch):
    assert module.BATCH_BYTES == 64 << 20
    for shape, rows in [((28, 28), 1_000), ((256, 256), 1_000), ((256, 512), 512), ((8_192, 8_193), 1)]:
        with ExitStack() as stack:
            stack.enter_context(pytest.raises(DatasetError, match="/data would have no rows"))
            assert stack.enter_context(DatasetWriter(tmp_path / "data", shape, 10)).batch_rows == rows
    monkeypatch.setattr(module, "BATCH_BYTES", 17)
    pixels, _ = write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    assert dataset.manifest.batch_rows == 4
    assert [len(block.labels) for block in map_shard(shard(dataset.path, 0), 10, (2, 2), 4).blocks] == [4, 4, 2]
    assert (dataset.gather(np.arange(25))[0] == pixels.reshape(25, 4)).all()


def test_finishing_publishes_nothing(tmp_path):
    pixels, labels = rows_of(25)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10) as writer:
        writer.append(pixels, labels)
        writer.finish()
        (staging,) = (tmp_path / "data").glob(".writing-*")
        assert [file_sha256(path)[:12] in path.name for path in staging.iterdir()] == [True] * 3
    assert (Dataset(tmp_path / "data").gather(np.arange(25))[1] == labels).all()


def test_no_rows_are_no_dataset(tmp_path):
    with (
        pytest.raises(DatasetError, match="/data would have no rows; expected at least one"),
        DatasetWriter(tmp_path / "data", (2, 2), 10) as writer,
    ):
        writer.append(*rows_of(0))
    assert names(tmp_path) == []


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
def test_rows_of_another_shape_or_type(tmp_path, pixels, labels, found):
    with pytest.raises(DatasetError) as caught, DatasetWriter(tmp_path / "data", (2, 2), 10) as writer:
        writer.append(pixels, labels)
    assert str(caught.value) == (f"{tmp_path}/data: found pixels {found}, expected uint8 of (rows, 2, 2) and (rows,)")
    assert names(tmp_path) == []


def test_a_label_outside_the_classes(tmp_path):
    with pytest.raises(DatasetError) as caught, DatasetWriter(tmp_path / "data", (2, 2), 10) as writer:
        writer.append(rows_of(3)[0], np.array([9, 0, 10], np.uint8))
    assert str(caught.value) == f"{tmp_path}/data: found the label 10, expected 0 to 9"
    assert names(tmp_path) == []
