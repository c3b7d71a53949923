"""The chapter on serving."""

from pathlib import Path

import pytest

from ddmlp.data.dataset import Dataset
from tools.benchmarks import serving
from tools.benchmarks.chapter import Setting


def test_serving_is_measured(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "HIDDEN", 8)
    monkeypatch.setattr(serving, "CLIENTS", 2)
    found = serving.measure(Setting(data, repeats=1, seconds=0.01, scratch=tmp_path))
    assert set(found["kinds"]) == set(serving.KINDS)
    for figures in found["kinds"].values():
        assert all(each > 0 for repeats in figures.values() for each in repeats)
        assert figures[serving.BEST][0] > figures["products"][0]
    assert all(kind in serving.show(found) for kind in serving.KINDS)


def test_without_the_packages_serving_is_not_measured(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "installed", lambda *_: False)
    found = serving.measure(Setting(data, repeats=1, seconds=0.01, scratch=tmp_path))
    assert found["kinds"]["PNG"][serving.MANY] is None
    assert "not installed" in serving.show(found)


def test_a_request_of_each_kind_is_what_it_is_called(data: Path):
    asked = serving.requests(Dataset(data / "test"))
    assert asked.keys() == serving.KINDS.keys()
    assert asked["PNG"].body.startswith(b"\x89PNG")
    assert asked["PNG"].kind == "image/png"
