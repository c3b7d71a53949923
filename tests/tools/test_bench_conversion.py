"""The chapters on conversion and on recognition."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import write_idx
from ddmlp.errors import TrainingError
from tools.benchmarks import conversion, decompression, processes, recognition
from tools.benchmarks.chapter import Setting


@pytest.fixture
def setting(data: Path, tmp_path: Path) -> Setting:
    return Setting(data, repeats=1, seconds=0.01, scratch=tmp_path)


def test_conversion_is_measured(setting, sample, tmp_path):
    found = conversion.measure(replace(setting, mnist=sample))
    for seconds in found["seconds"].values():
        assert len(seconds) == 1
        assert all(0 < each < 60 for each in seconds)
    assert not (tmp_path / "converted").exists()
    assert conversion.OURS in conversion.show(found)


def test_without_idx_files_conversion_is_not_measured(setting):
    found = conversion.measure(setting)
    assert conversion.bars(found)[0].verdict == "not measured"
    assert "--mnist" in conversion.show(found)


def test_the_bar_of_conversion():
    found = {"seconds": {conversion.OURS: [0.4, 0.5, 0.6], conversion.BOUND: [0.2, 0.2, 0.2]}}
    (bar,) = conversion.bars(found)
    assert bar.found == pytest.approx((0.4, 1 / 3, 0.5))
    assert not bar.reached


def test_the_bound_reads_everything(tmp_path, monkeypatch):
    path, read = tmp_path / "images.gz", []
    write_idx(path, np.arange(256, dtype=np.uint8), compress=True)
    monkeypatch.setattr(hashlib, "file_digest", lambda file, _: read.append(file.read()))
    assert decompression.seconds([str(path)]) > 0
    assert read[0][-256:] == bytes(range(256))


def test_a_process_that_fails_is_told_of():
    with pytest.raises(TrainingError, match="nonsense"):
        processes.run("-m", "ddmlp.train", "--nonsense")


def test_recognition_is_measured(setting, monkeypatch):
    monkeypatch.setattr(recognition, "HIDDEN", (8, 16))
    found = recognition.measure(setting)
    assert list(found["speeds"]) == ["8", "16"]
    for speeds in found["speeds"].values():
        assert set(speeds) == {*recognition.BOUND, *recognition.BOUND.values()}
        assert all(each > 0 for figures in speeds.values() for each in figures)
    assert len(recognition.bars(found)) == 4
    assert all(each in recognition.show(found) for each in recognition.BOUND)


def test_the_bound_of_recognition_is_its_products(data):
    dataset = Dataset(data / "test")
    works = recognition.contestants(20, dataset)
    assert {name: work() for name, work in works.items()} == {
        recognition.EVALUATION: 1_000,
        recognition.BOUND[recognition.EVALUATION]: 500,
        recognition.PREDICTION: 100,
        recognition.BOUND[recognition.PREDICTION]: 100,
    }


def test_the_bars_of_recognition():
    speeds = {"evaluation": [90.0], "prediction": [80.0], **{bound: [100.0] for bound in recognition.BOUND.values()}}
    bars = recognition.bars({"speeds": {"300": speeds}})
    assert [bar.found.median for bar in bars] == [0.9, 0.8]
    assert [bar.reached for bar in bars] == [True, False]
