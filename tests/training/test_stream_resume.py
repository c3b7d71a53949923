"""Runs on a stream, stopped and resumed: the result is that of an uninterrupted run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddmlp.runs.checkpoint import load_checkpoint
from ddmlp.runs.run import Run
from ddmlp.training import recorder
from ddmlp.training.setup import build_trainer
from tests.support.growing import ROWS, Stream, finished
from tests.support.helpers import plain
from tests.support.runs import assert_computed_again


def test_result_without_steps(stream: Stream):
    stream.publish(7)
    found = finished(build_trainer(replace(stream.job, idle_timeout=0)))
    assert (found["steps"], found["rows"], found["finished"]) == (0, 0, False)
    assert json.loads(json.dumps(found, allow_nan=False)) is not None


@pytest.mark.parametrize("rows", [960, 1_000])
def test_no_new_rows(rows: int, stream: Stream, whole_stream: dict[str, Any]):
    """The run ends with a checkpoint, and resumes at the next row."""
    stream.publish(rows)
    found = finished(build_trainer(replace(stream.job, idle_timeout=0)))
    assert (found["steps"], found["rows"], found["finished"]) == (16, 960, False)
    checkpoint = load_checkpoint(Run(stream.job.run).checkpoints.paths()[0])
    assert (checkpoint.step, checkpoint.weights.sha256()) == (16, found["weights_sha256"])
    assert found["weights_sha256"] != whole_stream["weights_sha256"]
    stream.publish(ROWS - rows, end=True)
    trainer = build_trainer(stream.job)
    assert trainer.step == 16
    assert finished(trainer)["weights_sha256"] == whole_stream["weights_sha256"]


def test_requested_end(stream: Stream, whole_stream: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recorder, "MAX_PENDING", 1)  # steps in one call
    stream.publish(500)
    trainer = build_trainer(stream.job)
    while trainer.step < 7:
        trainer.advance(0)
    found = plain(trainer.end().result)
    trainer.close()
    assert (found["steps"], found["rows"], found["finished"]) == (7, 420, False)
    assert (stream.job.run / "model.npz").exists()
    stream.publish(500, end=True)
    again = stream.result()
    assert (again["weights_sha256"], again["prequential"]) == (
        whole_stream["weights_sha256"],
        whole_stream["prequential"],
    )


@pytest.mark.parametrize("stop", [0, 1, 5, 16, 17])
def test_stop_after(stop: int, stream: Stream, whole_stream: dict[str, Any]):
    stream.publish(ROWS, end=True)
    found = finished(build_trainer(replace(stream.job, stop_after=stop)))
    assert (found["steps"], found["finished"]) == (stop, stop == 17)
    again = stream.result()
    assert (again["weights_sha256"], again["prequential"]) == (
        whole_stream["weights_sha256"],
        whole_stream["prequential"],
    )


@pytest.mark.parametrize("config", [{}, {"delay": 2}, {"staleness": 2}, {"lr_schedule": "inverse", "lr_half": 5}])
def test_verified_and_replayed(config: dict, tmp_path: Path, digits: tuple):
    stream = Stream(tmp_path, digits, **config)
    stream.publish(300)
    stream.begin()
    found = finished(build_trainer(replace(stream.job, idle_timeout=0)))
    stream.publish(200)
    assert_computed_again(stream.job.run, found)
    stream.publish(500, end=True)
    found = stream.result()
    assert (found["steps"], found["finished"]) == (17, True)
    assert_computed_again(stream.job.run, found)
