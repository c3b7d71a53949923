"""Streams: each row is trained on once, in the order of arrival, however many rows arrive at a time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.runs.checkpoint import load_checkpoint
from ddmlp.training.setup import build_trainer
from tests.support.growing import CONFIG, PUBLICATIONS, ROWS, Stream, advance, finished, grown
from tests.support.helpers import plain


def test_simple(stream: Stream, whole_stream: dict[str, Any]):
    """Rows that arrive gradually give the same result as if all had been there from the start."""
    assert (whole_stream["steps"], whole_stream["rows"], whole_stream["finished"]) == (17, ROWS, True)
    found = grown(stream, PUBLICATIONS)
    for name in ("weights_sha256", "chain", "steps", "rows", "finished", "prequential", "staleness"):
        assert found[name] == whole_stream[name], name


@pytest.mark.parametrize("shard_rows", [1_000, 61, pytest.param(7, marks=pytest.mark.slow)])
def test_any_shards(shard_rows: int, stream: Stream, whole_stream: dict[str, Any]):
    assert grown(stream, [500, 500], shard_rows=shard_rows)["weights_sha256"] == whole_stream["weights_sha256"]


def test_delay(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray], whole_stream: dict[str, Any]):
    at_once, bit_by_bit = (Stream(tmp_path / name, digits, delay=3) for name in ("at once", "bit by bit"))
    at_once.publish(ROWS, end=True)
    expected = at_once.result()
    found = grown(bit_by_bit, PUBLICATIONS)
    assert found["weights_sha256"] == expected["weights_sha256"] != whole_stream["weights_sha256"]


@pytest.mark.parametrize("first", [1, 5, 31])
def test_few_rows_at_first(first: int, stream: Stream, whole_stream: dict[str, Any]):
    """The first rows may be fewer than a microbatch."""
    assert grown(stream, [first, ROWS - first])["weights_sha256"] == whole_stream["weights_sha256"]


def test_tail(stream: Stream, whole_stream: dict[str, Any]):
    """The remaining rows are trained on only after the end is marked."""
    stream.publish(ROWS)
    trainer = build_trainer(stream.job)
    advance(trainer, 16)
    assert trainer.step == 16
    report = trainer.advance(0)
    assert (report.step, report.steps, report.rows, report.result) == (16, None, 960, None)
    stream.publish(0, end=True)
    assert finished(trainer)["weights_sha256"] == whole_stream["weights_sha256"]


def test_shorter_than_a_batch(stream: Stream):
    stream.publish(7, end=True)
    found = stream.result()
    assert (found["steps"], found["rows"], found["finished"]) == (1, 7, True)


def test_prequential_error(stream: Stream, digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    """Each row is tested before it is trained on. A checkpoint after each step has the weights to compare with."""
    monkeypatch.setattr("ddmlp.training.metrics.WINDOW", 200)
    monkeypatch.setattr("ddmlp.plan.stream_plan.PERIOD_ROWS", 50 * CONFIG.batch)  # one record per step
    stream.publish(ROWS, end=True)
    stream.job = replace(stream.job, checkpoint_every=1, keep=100)
    trainer, events = build_trainer(stream.job), []
    while (report := trainer.advance(0)).result is None:
        events += plain(report.events)
    trainer.close()
    pixels, labels = digits[0].reshape(ROWS, 784).astype(np.float32) / np.float32(255), digits[1]
    mistakes = []
    for step, path in enumerate(sorted((stream.job.run / "checkpoints").iterdir())[:-1]):
        weights = load_checkpoint(path).weights
        rows = slice(step * CONFIG.batch, (step + 1) * CONFIG.batch)
        hidden = 1 / (1 + np.exp(-pixels[rows] @ weights.w1))
        mistakes.append(int((np.argmax(hidden @ weights.w2, axis=1) != labels[rows]).sum()))
    assert len(mistakes) == 17
    found = plain(report.result)["prequential"]
    assert found == {"window": 220, "error": sum(mistakes[-4:]) / 220, "overall": sum(mistakes) / ROWS}
    assert 0 < found["error"] < found["overall"], "it has learned"
    noted = [event for event in events if event["event"] == "progress"]
    assert [event["step"] for event in noted] == [*range(1, 18)]
    assert noted[9]["prequential"] == {
        "window": 240, "error": sum(mistakes[6:10]) / 240, "overall": sum(mistakes[:10]) / 600
    }  # fmt: skip


def test_periods_are_tested(stream: Stream, data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.plan.stream_plan.PERIOD_ROWS", 250)  # 4 steps
    (stream.path.parent).mkdir()
    (stream.path.parent / "test").symlink_to(data / "test")
    stream.publish(ROWS)
    trainer = build_trainer(stream.job)
    events = advance(trainer, 16)
    stream.publish(0, end=True)
    found = finished(trainer)
    assert [event["step"] for event in events if event["event"] == "epoch"] == [4, 8, 12, 16]
    assert [event["step"] for event in events if event["event"] == "checkpoint"] == [0, 4, 5, 8, 10, 12, 15, 16]
    assert 0 < found["test_error"] < 1


def test_no_test_data(whole_stream: dict[str, Any]):
    assert [name for name in whole_stream if name.startswith("test")] == []
