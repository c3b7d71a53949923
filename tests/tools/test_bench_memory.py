"""The chapters on starting and on memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.errors import ConfigError, TrainingError
from tools.benchmarks import enlarged, memory, resident, start
from tools.benchmarks.chapter import Setting
from tools.benchmarks.enlarged import enlarge

HOLD = "import sys; held = bytearray(int(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_help_is_measured():
    assert 0 < start.help_seconds("verify") < 60


def test_the_first_step_is_measured(data, tmp_path):
    assert 0 < start.first_step_seconds(data, tmp_path / "run") < 60
    assert (tmp_path / "run" / "result.json").exists()  # the command was left to end


def test_training_that_ends_before_its_first_step_is_told_of(tmp_path):
    with pytest.raises(TrainingError, match="has no dataset"):
        start.first_step_seconds(tmp_path, tmp_path / "run")


def test_the_bars_of_starting():
    seconds = {**{each: [0.2, 0.25] for each in start.COMMANDS}, start.LOCAL: [1.5, 1.5], start.REMOTE: [5.0, 6.0]}
    seconds[start.INIT] = [3.5, 4.2]
    *helps, local, remote = start.bars({"seconds": seconds})
    assert len(helps) == len(start.COMMANDS)
    assert all(bar.reached for bar in helps)
    assert not local.reached
    assert remote.found.median == pytest.approx(1.65)
    assert remote.reached
    assert "`python -m ddmlp.verify --help`" in start.show({"seconds": seconds})


def test_an_enlarged_dataset(data, tmp_path, monkeypatch):
    monkeypatch.setattr(enlarged, "CHUNK", 300)
    out = enlarge(data, 1_000, tmp_path / "out")
    train, again = Dataset(out / "train"), enlarge(data, 1_000, tmp_path / "again")
    assert len(train) == 1_000
    assert len(Dataset(out / "test")) == 1_000
    assert Manifest.read(again / "train").sha256() == train.manifest.sha256()
    # Digits as they were, but paler: what was ink is ink, and what was none is none.
    source = Dataset(data / "train")
    digits = dict(zip(inked(source), zip(*pixels(source), strict=True), strict=True))
    for place, found, label in zip(inked(train), *pixels(train), strict=True):
        digit, expected = digits[place]
        assert label == expected
        assert digit.sum() // 2 <= found.sum() <= digit.sum()
    assert len(set(inked(train))) > 500  # drawn, not repeated
    assert len({found.tobytes() for found in pixels(train)[0]}) > len(set(inked(train)))


def inked(dataset):
    return [digit.tobytes() for digit in pixels(dataset)[0] > 0]


def pixels(dataset):
    return dataset.gather(np.arange(len(dataset)))


def test_no_room_for_an_enlarged_dataset(data, tmp_path):
    with pytest.raises(ConfigError, match="rows need"):
        enlarge(data, 10**15, tmp_path / "out")


def holder(size: int) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(size)], stdin=-1, stdout=-1, text=True)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="what is a process's own is known from /proc")
def test_memory_that_is_held_is_seen():
    small, large = holder(1), holder(50_000_000)
    try:
        assert resident.own_bytes(large.pid) - resident.own_bytes(small.pid) == pytest.approx(50e6, rel=0.02)
        assert not resident.is_actor(large.pid)
        with resident.Resident(large) as found:
            while not found.peak:
                assert large.poll() is None
        assert found.peak >= 50e6
    finally:
        for each in (small, large):
            each.communicate()
    assert resident.own_bytes(large.pid) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="what is below a process is known from /proc")
def test_processes_below_are_found():
    process = holder(1)
    try:
        assert process.pid in resident.below(os.getpid())
    finally:
        process.communicate()


def test_memory_is_measured(data, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "WORKERS", (0,))
    found = memory.measure(Setting(data, repeats=1, seconds=0.01, scratch=tmp_path), times=2, trained=9_000)
    assert all(len(each) == 1 and each[0] > 0 for what in ("speeds", "memory") for each in found[what].values())
    # Both have trained on as many rows, in 3 epochs and in 2.
    trained = {
        run.name: len(Dataset(Path(tmp_path / "enlarged" if "enlarged" in run.name else data) / "train"))
        for run in tmp_path.glob("*-0-0")
    }
    assert sorted(trained.values()) == [4_000, 8_000]
    assert "2 times MNIST" in memory.show(found)


def test_the_bars_of_memory():
    small, large = [100.0, 110.0], [105.0, 121.0]
    found = {
        "times": 100,
        "memory": {
            f"{workers} {size}": each for workers in (0, 2) for size, each in [("small", small), ("large", large)]
        },
        "speeds": {
            f"{workers} {size}": each for workers in (0, 2) for size, each in [("small", large), ("large", small)]
        },
    }
    bars = memory.bars(found)
    assert [bar.reached for bar in bars] == [False, True] * 2
    assert bars[0].found.median == pytest.approx((1.05 + 1.1) / 2)
