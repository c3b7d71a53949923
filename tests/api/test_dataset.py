"""A dataset for other programs."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import ddmlp
from ddmlp.errors import ConfigError, DatasetError
from tests.support.source_files import some_rows

PIXELS, LABELS = some_rows(60)
QUICK = {"hidden": 4, "epochs": 1, "progress": False}


@pytest.fixture
def dataset(tmp_path: Path) -> ddmlp.Dataset:
    """Three shards."""
    with ddmlp.DatasetWriter(tmp_path / "rows", (4, 4), classes=10, shard_rows=25) as writer:
        writer.append(PIXELS, LABELS)
    return ddmlp.Dataset(tmp_path / "rows")


def test_simple(dataset: ddmlp.Dataset):
    before = pa.total_allocated_bytes()
    table = dataset.to_arrow()
    assert pa.total_allocated_bytes() - before < 1_000, "its values are the files"
    assert (len(table), len(dataset), table["label"].num_chunks) == (60, 60, 3)
    assert np.array_equal(table["pixels"].combine_chunks().to_numpy_ndarray(), PIXELS)
    assert table["label"].to_pylist() == LABELS.tolist()
    assert "60 images of 4 x 4" in repr(dataset)


def test_it_is_data(dataset: ddmlp.Dataset, tmp_path: Path):
    """For `fit` and `evaluate`, as its table and the arrays are."""
    arrays = ddmlp.fit((PIXELS, LABELS), test=(PIXELS, LABELS), run=tmp_path / "arrays", **QUICK)
    found = ddmlp.fit(dataset, test=dataset, run=tmp_path / "dataset", **QUICK)
    assert found.weights_sha256 == arrays.weights_sha256
    assert ddmlp.Dataset(found.run / "data" / "train").sha256 == dataset.sha256
    table = ddmlp.fit(dataset.to_arrow(), test=dataset, run=tmp_path / "table", **QUICK)
    assert (table.weights_sha256, table.test_error) == (arrays.weights_sha256, arrays.test_error)
    assert ddmlp.evaluate(found.model, dataset).error == found.test_error


@pytest.mark.parametrize("missing", ["ray", "pandas"])
def test_missing_package(missing: str, dataset: ddmlp.Dataset, monkeypatch: pytest.MonkeyPatch):
    for name in [each for each in sys.modules if each.startswith("ray.data")] + ["ddmlp.ray_backend.datasource"]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"Dataset.to_ray needs the package {missing}, .*'ddmlp\[raydata\]'"):
        dataset.to_ray()


def test_no_dataset(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        ddmlp.Dataset(tmp_path)
    with pytest.raises(ConfigError, match="path is 7"):
        ddmlp.Dataset(7)
