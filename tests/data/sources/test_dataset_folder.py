"""Datasets that are elsewhere: a run gets a copy with the same shards, verified by hash."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ddmlp
from ddmlp.data.convert import convert
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.sources.arrow_table import table_columns
from ddmlp.data.sources.in_memory import RowsInMemory
from ddmlp.data.sources.registry import finite_parts, is_finite
from ddmlp.errors import ConfigError, DatasetError
from tests.support.datasets import shard, write

SETTINGS = {"hidden": 3, "epochs": 2, "batch": 5, "progress": False}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write(tmp_path / "stored" / "train", 25, class_names=tuple("abcdefghij"))
    write(tmp_path / "stored" / "test", 12)
    return tmp_path / "stored"


def test_simple(stored, tmp_path):
    uri = stored.as_uri()
    assert (is_finite(uri), is_finite(stored)) == (True, False)
    expected = ddmlp.fit(stored, run=tmp_path / "expected", **SETTINGS)
    found = ddmlp.fit(uri, run=tmp_path / "found", **SETTINGS)
    assert found.weights_sha256 == expected.weights_sha256
    assert found.record.dataset_sha256 == expected.record.dataset_sha256
    for part in ("train", "test"):
        assert Manifest.read(found.run / "data" / part) == Manifest.read(stored / part)
    assert found.model.class_names == tuple("abcdefghij")


def test_damaged_shard(stored, tmp_path):
    path = shard(stored / "train", 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=path.name):
        ddmlp.fit(stored.as_uri(), run=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run" / "data").exists()


def test_missing_shard(stored, tmp_path):
    shard(stored / "train", 1).unlink()
    with pytest.raises(DatasetError, match="manifest lists it"):
        ddmlp.fit(stored.as_uri(), run=tmp_path / "run", **SETTINGS)


def test_number_of_classes(stored, tmp_path):
    with pytest.raises(ConfigError, match="classes"):
        ddmlp.fit(stored.as_uri(), run=tmp_path / "run", classes=20, **SETTINGS)


def test_conversion(stored, tmp_path):
    """A dataset is also a source for `convert`, for example to cut it into other shards."""
    with finite_parts(stored) as parts:
        convert({tmp_path / "out": parts.train}, shard_rows=25)
    found, old = Dataset(tmp_path / "out"), Dataset(stored / "train")
    assert [each.rows for each in found.manifest.shards] == [25]
    assert found.manifest.class_names == old.manifest.class_names
    every = np.arange(25)
    assert all((a == b).all() for a, b in zip(found.gather(every), old.gather(every), strict=True))


def test_read_elsewhere(stored, tmp_path, monkeypatch):
    """By the lines of Python that the page about data has."""
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    (lines,) = re.findall(r"```python\n(import json.*?)```", page, re.DOTALL)
    (tmp_path / "data").symlink_to(stored)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(lines, found)
    table = found["rows"].to_table()
    with finite_parts(stored) as parts:
        convert({tmp_path / "out": parts.train, tmp_path / "again": RowsInMemory(*table_columns(table, "the table"))})
    assert Manifest.read(tmp_path / "out").sha256() == Manifest.read(tmp_path / "again").sha256()
