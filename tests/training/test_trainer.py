"""The trainer in one process: its checkpoints, and how it resumes a run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ddmlp.errors import DatasetError, RunError
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from tests.support.local import positions, train


def test_simple(job: Job):
    events, result = train(build_trainer(job))
    assert events[0] == {"event": "start", "step": 0, "complaints": []}
    assert (result["steps"], result["rows"], result["finished"]) == (54, 8_000, True)
    assert result["answered"] == {"0": 54}
    saved = [event for event in events if event["event"] == "checkpoint"]
    assert [event["step"] for event in saved] == positions(job) == [0, 10, 20, 27, 30, 40, 50, 54]
    assert saved[-1]["chain"] == result["chain"]
    assert all(event["seconds"] > 0 for event in saved)


def test_verified_checkpoint(job: Job, data: Path, tmp_path: Path):
    shutil.copytree(data, tmp_path / "data")
    shard = sorted((tmp_path / "data" / "train").glob("*.arrow"))[0]
    damaged = bytearray(shard.read_bytes())
    damaged[-5_000] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(DatasetError, match=shard.name):
        train(build_trainer(replace(job, data=tmp_path / "data")))
    assert positions(replace(job, data=tmp_path / "data")) == [0]


def test_broken_chain(job: Job):
    """If the chain does not match the checkpoint, the run reports that, and continues."""
    train(build_trainer(replace(job, stop_after=31)))
    lines = (job.run / "chain.jsonl").read_text().splitlines()
    (job.run / "chain.jsonl").write_text("\n".join(lines[:2] + lines[3:]) + "\n")
    events, result = train(build_trainer(job))
    assert events[0]["step"] == 31
    assert len(events[0]["complaints"]) == 1
    assert "line 3" in events[0]["complaints"][0]
    assert json.loads((job.run / "chain.jsonl").read_text().splitlines()[-1])["digest"] == result["chain"]


def test_no_good_checkpoint(job: Job):
    _, expected = train(build_trainer(job))
    for path in (job.run / "checkpoints").iterdir():
        path.write_bytes(b"")
    events, found = train(build_trainer(job))
    assert events[0]["step"] == 0
    assert len(events[0]["complaints"]) == 4
    assert "step 54" in events[0]["complaints"][-1]
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])


def test_two_trainers(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.runs.run.WRITER_SECONDS", 0.1)
    first = build_trainer(job)
    with pytest.raises(RunError, match=r"another process has been writing to .*run for 0.1 s"):
        build_trainer(job)
    train(first)
    assert build_trainer(job).step == 54


def test_keep(job: Job):
    train(build_trainer(replace(job, keep=5)))
    assert [path.stem for path in Run(job.run).checkpoints.paths()] == [f"step-{n:012d}" for n in (54, 50, 40, 30, 27)]
