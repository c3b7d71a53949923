"""Every kind of file gives the dataset that IDX files of the same rows give, and the same training."""

from pathlib import Path

import numpy as np
import pytest

import ddmlp
from ddmlp.data.convert import convert
from ddmlp.data.manifest import Manifest
from ddmlp.data.sources.in_memory import RowsInMemory
from ddmlp.data.sources.registry import finite_parts, is_finite
from tests.support.source_files import WRITTEN, Rows, csv_names, sample_rows, some_rows, write_csv

PARTS = {"train": some_rows(30), "test": some_rows(20, seed=1)}


def fingerprint(rows: Rows, folder: Path) -> str:
    convert({folder: RowsInMemory(*rows)}, classes=10)
    return Manifest.read(folder).sha256()


@pytest.mark.parametrize("kind", WRITTEN)
def test_simple(tmp_path, kind):
    (tmp_path / "files").mkdir()
    place = WRITTEN[kind](tmp_path / "files", PARTS)
    assert is_finite(str(place))
    with finite_parts(place) as parts:
        convert({tmp_path / "train": parts.train, tmp_path / "test": parts.test})
    for part, rows in PARTS.items():
        assert Manifest.read(tmp_path / part).sha256() == fingerprint(rows, tmp_path / "expected" / part)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("names", [csv_names((4, 4)), None])
def test_csv(tmp_path, names, last):
    write_csv(tmp_path / "some.csv", PARTS["train"], names, last=last)
    with finite_parts(tmp_path / "some.csv") as parts:
        convert({tmp_path / "data": parts.train})
        assert parts.test is None
    assert Manifest.read(tmp_path / "data").sha256() == fingerprint(PARTS["train"], tmp_path / "expected")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*WRITTEN, "CSV"])
def test_training(sample, tmp_path, kind):
    """On the sample of MNIST, with the hash of the run on its IDX files."""
    parts = sample_rows(sample)
    (tmp_path / "files").mkdir()
    if kind == "CSV":
        train, test = (tmp_path / "files" / f"{part}.csv" for part in ("train", "test"))
        write_csv(train, parts["train"], csv_names((28, 28)))
        write_csv(test, parts["test"], None)
        data: dict[str, Path] = {"data": train, "test": test}
    else:
        data = {"data": WRITTEN[kind](tmp_path / "files", parts)}
    settings = {"hidden": 16, "epochs": 1, "batch": 64, "progress": False}
    found = ddmlp.fit(**data, run=tmp_path / "found", **settings)
    expected = ddmlp.fit(sample, run=tmp_path / "expected", **settings)
    assert found.weights_sha256 == expected.weights_sha256
    assert found.test_error == expected.test_error
    assert found.test_error < 0.5
    for part in ("train", "test"):
        manifests = [Manifest.read(run / "data" / part) for run in (found.run, expected.run)]
        assert manifests[0].sha256() == manifests[1].sha256()
        assert manifests[0].rows == len(parts[part][1])


def test_orders(tmp_path):
    """Pictures are in the order of their names, whatever their class; folders of numbers in that of the numbers."""
    rows = some_rows(24)[0], np.arange(24, dtype=np.uint8) % 12
    place = WRITTEN["pictures"](tmp_path / "files", {"train": rows, "test": rows})
    with finite_parts(place) as parts, parts.train.open() as source:
        assert source.class_names is None
        assert [label for batch in source.batches(12) for label in batch.labels] == [*rows[1]]
