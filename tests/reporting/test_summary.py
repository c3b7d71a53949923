"""Summaries of runs: finished, stopped, unfinished and damaged."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

import ddmlp
from ddmlp.cli import train
from ddmlp.reporting.summary import read_summary


@pytest.fixture
def copy(runs: Path, tmp_path: Path) -> Path:
    """A copy of `plain` that tests may change."""
    shutil.copytree(runs / "plain", tmp_path / "copy")
    return tmp_path / "copy"


def result(run: Path) -> dict:
    return json.loads((run / "result.json").read_bytes())


def test_simple(runs):
    found = read_summary(runs / "plain")
    assert (found.state, found.step, found.workers, found.missing) == ("finished", 80, 0, [])
    assert found.result.weights_sha256 == found.model.weights.sha256() == result(runs / "plain")["weights_sha256"]
    assert found.evaluation.error == result(runs / "plain")["test_error"]
    assert len(found.mistakes) == 12
    assert read_summary(runs / "part").state == "stopped after step 50"


@pytest.mark.parametrize("name", ["plain", "late", "part", "stream"])
def test_command(runs, tmp_path, name):
    words = shlex.split(read_summary(runs / name).command)
    assert words[:3] == ["python", "-m", "ddmlp.train"]
    extra = ["--idle-timeout", "0"] if name == "stream" else []
    assert train.main([*words[3:], *extra, "--run", str(tmp_path / "again"), "--quiet", "--no-report"]) == 0
    assert result(tmp_path / "again")["weights_sha256"] == result(runs / name)["weights_sha256"]


def test_unfinished(copy):
    (copy / "result.json").unlink()
    (copy / "model.npz").unlink()
    found = read_summary(copy)
    assert found.result is None
    assert (found.step, found.model_step) == (80, 80)
    assert "80 or later" in found.state
    assert [line.partition(":")[0] for line in found.missing] == ["result"]
    assert found.evaluation


def test_old_result(data, tmp_path):
    run = tmp_path / "run"
    ddmlp.fit(data, run=run, hidden=16, batch=100, epochs=2, stop_after=30)
    old = (run / "result.json").read_bytes()
    ddmlp.resume(run)
    found = read_summary(run)
    assert (found.missing, len(found.records.started)) == ([], 2)
    (run / "result.json").write_bytes(old)
    found = read_summary(run)
    assert (found.result, found.model_step) == (None, 80)
    assert any("result.json" in line and "step 30" in line for line in found.missing)


def test_data_gone(copy, data):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"data": "/nowhere"}))
    found = read_summary(copy)
    assert found.evaluation is None
    assert found.model
    assert any("/nowhere" in line and "--data" in line for line in found.missing)
    assert read_summary(copy, data).missing == []


def test_other_test_data(copy):
    (copy / "result.json").write_text(json.dumps(result(copy) | {"test_error": 0.5}))
    (line,) = read_summary(copy).missing
    assert "test data" in line
    assert "50.00%" in line


@pytest.mark.parametrize("name", ["metrics.jsonl", "result.json", "chain.jsonl", "model.npz"])
@pytest.mark.parametrize("damage", ["gone", "garbled", "another's"])
def test_damage_is_named(copy, name, damage):
    if damage == "gone":
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(b"\xff\x00{" if damage == "garbled" else b'{"event": "progress", "step": 7}\n')
    found = read_summary(copy)
    quiet = {("chain.jsonl", "gone"), ("result.json", "gone")}  # absent in a run that has not begun or is unfinished
    assert any(name in line for line in found.missing) or (name, damage) in quiet
    assert (found.model is None) == (found.evaluation is None) == (name == "model.npz")
    assert bool(found.records.progress) == (name != "metrics.jsonl")


def test_only_begun(copy):
    for path in copy.iterdir():
        if path.name != "config.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = read_summary(copy)
    assert (found.step, found.workers, found.model, found.result) == (0, None, None, None)
    assert any("neither a result nor a good checkpoint" in line for line in found.missing)
    assert "--hidden 16" in found.command


def test_check_from_anywhere(runs, monkeypatch):
    monkeypatch.chdir(runs)
    assert shlex.split(read_summary(Path("plain")).check)[-1] == str(runs / "plain")
