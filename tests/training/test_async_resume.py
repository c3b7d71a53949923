"""Asynchronous runs that are stopped and resumed: every row still counts once, and the run can be replayed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ddmlp.cli import replay
from ddmlp.runs.checkpoint import Checkpoints
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from tests.support import runs
from tests.support.asynchronous import STEPS, histogram_of, order_of, train, trainer_of
from tests.support.helpers import inside, plain
from tests.support.runs import assert_computed_again


@pytest.mark.parametrize("stop", [0, 11, 27, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (1, 4, 26, 53))])
def test_stopped_anywhere(stop: int, async_job: Job):
    """The run completes its open steps, stops at that position, and continues from there with every row once."""
    first = trainer_of(async_job)
    assert runs.train(first, async_job.run, lambda: first.step >= stop, seconds=0) == {}
    at = first.step
    assert stop <= at <= stop + 4
    assert sorted(order_of(async_job, at)[:, 0].tolist()) == [*range(at)]
    assert inside(replay.main, async_job.run).stdout.startswith(f"replayed        {at} updates")
    again = trainer_of(async_job, seed=2)
    assert again.step == at
    result = runs.train(again, async_job.run, seconds=0)
    assert (result["rows"], result["finished"]) == (8_000, True)
    assert result["staleness"]["histogram"] == histogram_of(async_job)
    assert sum(result["staleness"]["histogram"].values()) == STEPS
    assert_computed_again(async_job.run, result)


def test_requested_end(async_job: Job):
    """The result is that of whole steps."""
    trainer = trainer_of(async_job)
    while trainer.step < 12:
        trainer.advance(0)
    result = plain(trainer.end().result)
    trainer.close()
    assert result is not None
    assert (result["steps"], result["rows"]) == (trainer.step, 150 * trainer.step)
    Run(async_job.run).write_result(result)
    assert_computed_again(async_job.run, result)


@pytest.mark.parametrize("stop", [0, 13, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (1, 27, 40))])
def test_stop_after(stop: int, async_job: Job):
    result = train(replace(async_job, stop_after=stop))
    assert (result["steps"], result["finished"]) == (stop, False)
    assert_computed_again(async_job.run, result)
    result = train(async_job, seed=2)
    assert result["staleness"]["histogram"] == histogram_of(async_job)
    assert_computed_again(async_job.run, result)


def test_surplus_updates(async_job: Job, monkeypatch: pytest.MonkeyPatch):
    """A crash after the updates were written, but before the checkpoint, leaves updates that are removed."""
    real = Checkpoints.save

    def dying(self: Checkpoints, checkpoint: Any, keep: int) -> Path:
        if checkpoint.step == 30:
            raise KeyboardInterrupt
        return real(self, checkpoint, keep)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            train(async_job)
    path = Run(async_job.run).updates
    assert path.stat().st_size == 30 * 26
    with path.open("ab") as file:
        file.write(b"           30  ")
    again = trainer_of(async_job, seed=3)
    assert again.step == 27
    result = runs.train(again, async_job.run, seconds=0)
    assert path.stat().st_size == STEPS * 26
    assert result["staleness"]["histogram"] == histogram_of(async_job)
    assert_computed_again(async_job.run, result)
