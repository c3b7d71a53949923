"""Asynchronous runs: no update exceeds the bound on staleness, and every row counts once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from tests.support import runs
from tests.support.asynchronous import STEPS, begun, histogram_of, order_of, train, trainer_of
from tests.support.runs import assert_computed_again


def events_of(job: Job, kind: str) -> list[dict[str, Any]]:
    lines = (job.run / "metrics.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


@pytest.mark.parametrize("bound", [1, 2, 3, 5, "inf"])
@pytest.mark.parametrize("seed", [1, 2])
def test_bound(bound: int | str, seed: int, data: Path, tmp_path: Path):
    """No update exceeds the bound, and every row counts once."""
    job = begun(tmp_path / "run", data, staleness=bound)
    result = train(job, seed)
    assert (result["steps"], result["rows"], result["finished"]) == (STEPS, 8_000, True)  # the row audit passed
    stale = result["staleness"]
    assert (stale["bound"], stale["histogram"]) == (bound, histogram_of(job))
    assert 0 < stale["max"] <= job.config.bound
    steps = order_of(job)[:, 0].tolist()
    assert sorted(steps) == [*range(STEPS)]
    assert steps != sorted(steps), "updates were really out of order"
    assert Run(job.run).updates.stat().st_size == 26 * STEPS
    assert_computed_again(job.run, result)


def test_order_of_answers(data: Path, tmp_path: Path):
    results = [train(begun(tmp_path / name, data), seed) for name, seed in [("a", 1), ("b", 1), ("c", 2)]]
    assert results[0]["weights_sha256"] == results[1]["weights_sha256"] != results[2]["weights_sha256"]


def test_checkpoint_positions(async_run: Job):
    """No step is open at a checkpoint."""
    assert [event["step"] for event in events_of(async_run, "checkpoint")] == [0, 10, 20, 27, 30, 40, 50, 54]
    assert [event["step"] for event in events_of(async_run, "epoch")] == [27, 54]
    order = order_of(async_run)
    for version in (10, 20, 27, 30, 40, 50):
        assert sorted(order[:version, 0].tolist()) == [*range(version)], "no step is open there"
        assert order[version].tolist() == [order[version, 0], version]


def test_staleness_in_progress(data: Path, tmp_path: Path):
    job = begun(tmp_path / "run", data, batch=50)  # 80 steps per epoch, a record every second step
    result = train(job)
    noted = events_of(job, "progress")
    assert [event["step"] for event in noted] == [*range(2, 161, 2)]
    order = order_of(job, 160)
    for event in noted:
        ages = [event["step"] - back - int(order[event["step"] - back, 1]) for back in (1, 2)]
        assert event["staleness"]["max"] == max(ages)
        assert event["staleness"]["mean"] == sum(ages) / 2
    assert sum(event["staleness"]["histogram"].get("3", 0) for event in noted) == result["staleness"]["histogram"]["3"]


def test_rate_by_staleness(data: Path, tmp_path: Path):
    results, orders = {}, []
    for by_staleness in (False, True):
        job = begun(tmp_path / str(by_staleness), data, staleness=5, staleness_lr=by_staleness)
        results[by_staleness] = train(job)
        orders.append(order_of(job).tolist())
        assert_computed_again(job.run, results[by_staleness])
    assert orders[0] == orders[1], "the order of the answers does not depend on the weights"
    assert results[False]["weights_sha256"] != results[True]["weights_sha256"]


def test_stream(data: Path, tmp_path: Path):
    """Asynchronous training on a stream uses each row once."""
    pixels, labels = Dataset(data / "train").gather(np.arange(1_000))
    with DatasetWriter(tmp_path / "data" / "train", (28, 28), 10, shard_rows=70) as writer:
        writer.append(pixels[:400].reshape(-1, 28, 28), labels[:400])
        writer.publish()
        job = begun(
            tmp_path / "run", tmp_path / "data", batch=50, epochs=1, lr_schedule="constant", follow=True, staleness=5
        )
        trainer = trainer_of(job)
        while trainer.step < 8:
            trainer.advance(0)
        writer.append(pixels[400:].reshape(-1, 28, 28), labels[400:])
        writer.publish()
        writer.end()
    result = runs.train(trainer, job.run, seconds=0)  # the row audit runs at the end
    assert (result["steps"], result["rows"], result["finished"]) == (20, 1_000, True)
    assert 2 < result["staleness"]["max"] <= 5
    assert_computed_again(job.run, result)
