"""Conversion into datasets: correct rows, rejected sources, and no files after a failure."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.convert import Pair, convert, find_pairs
from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import read_idx, write_idx
from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError, IdxError


def put(folder: Path, images: np.ndarray, labels: np.ndarray, name: str = "some") -> Pair:
    write_idx(folder / f"{name}-images", images)
    write_idx(folder / f"{name}-labels", labels)
    return Pair(folder / f"{name}-images", folder / f"{name}-labels")


def small(folder: Path, labels: list[int], shape: tuple[int, int] = (5, 7), name: str = "some") -> Pair:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), *shape), np.uint8)
    return put(folder, images, np.array(labels, np.uint8), name)


def rows(path: Path) -> tuple[np.ndarray, np.ndarray]:
    dataset = Dataset(path)
    dataset.verify()
    pixels, labels = dataset.gather(np.arange(len(dataset)))
    return pixels.reshape(-1, *dataset.manifest.image_shape), labels


def refusal(pairs: dict[Path, Pair], **options: int) -> str:
    with pytest.raises(IdxError) as caught:
        convert(pairs, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_simple(tmp_path):
    pair = small(tmp_path, [0, 2, 1, 2])
    assert convert({tmp_path / "data": pair}) == 4
    pixels, labels = rows(tmp_path / "data")
    assert (pixels == read_idx(pair.images)).all()
    assert labels.tolist() == [0, 2, 1, 2]
    assert Dataset(tmp_path / "data").manifest.classes == 3
    assert Dataset(tmp_path / "data").manifest.image_shape == (5, 7)
    assert names(tmp_path) == ["data", "some-images", "some-labels"]


@pytest.mark.parametrize("part", ["train", "test"])
def test_equal_rows(sample, data, part):
    pair = find_pairs(sample)[part == "test"]
    pixels, labels = rows(data / part)
    assert pixels.shape == ((4_000 if part == "train" else 1_000), 28, 28)
    assert (pixels == read_idx(pair.images)).all()
    assert (labels == read_idx(pair.labels)).all()
    assert Dataset(data / part).manifest.classes == 10


def test_another_source(tmp_path):
    """Anything with the methods of `FiniteSource` can be converted."""

    class Ramp:
        rows, image_shape, class_names, left = 5, (1, 2), ("a", "b", "c"), False

        def open(self) -> "Ramp":
            return self

        def __enter__(self) -> "Ramp":
            return self

        def __exit__(self, *_: object) -> None:
            self.left = True

        def count_classes(self) -> int:
            return 3

        def batches(self, classes: int) -> Iterator[Rows]:
            assert classes == 3
            for row in range(5):
                yield Rows(np.full((1, 1, 2), row, np.uint8), np.full(1, row % 3, np.uint8))

    ramp = Ramp()
    assert convert({tmp_path / "data": ramp}) == 5
    assert ramp.left
    assert Dataset(tmp_path / "data").manifest.class_names == ("a", "b", "c")
    pixels, labels = rows(tmp_path / "data")
    assert (pixels[:, 0, 1].tolist(), labels.tolist()) == ([0, 1, 2, 3, 4], [0, 1, 2, 0, 1])


def test_gzip_and_plain(tmp_path):
    pair = small(tmp_path, [1, 0, 1])
    for path in pair:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    packed = Pair(*(path.with_name(path.name + ".gz") for path in pair))
    convert({tmp_path / "plain": pair, tmp_path / "packed": packed})
    assert Dataset(tmp_path / "plain").manifest == Dataset(tmp_path / "packed").manifest


def test_number_of_classes(tmp_path):
    train, test = small(tmp_path, [0, 6, 1], name="train"), small(tmp_path, [0, 1], name="test")
    convert({tmp_path / "a": train, tmp_path / "b": test})
    assert [Dataset(tmp_path / name).manifest.classes for name in "ab"] == [7, 7]
    convert({tmp_path / "c": train}, classes=50)
    assert Dataset(tmp_path / "c").manifest.classes == 50


def test_256_classes(tmp_path):
    pair = small(tmp_path, list(range(256)))
    convert({tmp_path / "data": pair})
    assert Dataset(tmp_path / "data").manifest.classes == 256
    assert rows(tmp_path / "data")[1].tolist() == list(range(256))


@pytest.mark.parametrize(("shard_rows", "expected"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (10**9, [5])])
def test_shard_rows(tmp_path, shard_rows, expected):
    pair = small(tmp_path, [0, 1, 2, 3, 4])
    convert({tmp_path / "data": pair}, shard_rows=shard_rows)
    assert [shard.rows for shard in Dataset(tmp_path / "data").manifest.shards] == expected
    assert (rows(tmp_path / "data")[0] == read_idx(pair.images)).all()


def test_progress(tmp_path):
    pair = small(tmp_path, [0] * 2_500, (32, 32))  # 1,024 rows take 1 MiB
    calls: list[tuple[int, int]] = []
    convert({tmp_path / "a": pair, tmp_path / "b": pair}, progress=lambda *now: calls.append(now))
    assert calls == [(done, 5_000) for done in (1_024, 2_048, 2_500, 3_524, 4_548, 5_000)]


def test_new_label_in_test_set(tmp_path):
    train, test = small(tmp_path, [0, 1, 2], name="train"), small(tmp_path, [0, 9], name="test")
    message = refusal({tmp_path / "out" / "train": train, tmp_path / "out" / "test": test})
    assert f"{test.labels}: the label at byte 9 (row 1) is 9, expected 0 to 2" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("which", [0, 1])
def test_truncated_gzip(tmp_path, which):
    pair = small(tmp_path, list(range(200)) * 20, (8, 8))
    packed = pair[which].with_name("cut.gz")
    whole = gzip.compress(pair[which].read_bytes())
    packed.write_bytes(whole[: len(whole) // 2])
    cut = Pair(packed, pair.labels) if which == 0 else Pair(pair.images, packed)
    message = refusal({tmp_path / "out" / "train": pair, tmp_path / "out" / "test": cut})
    assert message.startswith(f"{packed}, byte ")
    assert "truncated gzip" in message
    assert not (tmp_path / "out").exists()


def test_failure_in_new_folder(tmp_path):
    pair = small(tmp_path, [0, 1, 2])
    refusal({tmp_path / "new" / "out" / "train": pair}, classes=2)
    assert names(tmp_path) == ["some-images", "some-labels"]


def test_failure_in_old_folder(tmp_path):
    pair = small(tmp_path, [0, 1, 2])
    (tmp_path / "out").mkdir()
    refusal({tmp_path / "out" / "train": pair, tmp_path / "out" / "test": pair}, classes=2)
    assert names(tmp_path / "out") == []


def test_all_or_none(tmp_path):
    good, bad = small(tmp_path, [0, 1], name="good"), small(tmp_path, [0, 5], name="bad")
    convert({tmp_path / "out" / "train": good, tmp_path / "out" / "test": good})
    old = [Dataset(tmp_path / "out" / part).manifest for part in ("train", "test")]
    refusal({tmp_path / "out" / "train": bad, tmp_path / "out" / "test": good}, classes=2, overwrite=True)
    refusal({tmp_path / "out" / "train": good, tmp_path / "out" / "test": bad}, overwrite=True)
    assert [Dataset(tmp_path / "out" / part).manifest for part in ("train", "test")] == old
    assert names(tmp_path / "out") == ["test", "train"]


def test_one_of_two_exists(tmp_path):
    pair = small(tmp_path, [0, 1])
    convert({tmp_path / "out" / "test": pair})
    with pytest.raises(DatasetError, match=r"/out/test already .*--overwrite"):
        convert({tmp_path / "out" / "train": pair, tmp_path / "out" / "test": pair})
    assert names(tmp_path / "out") == ["test"]
