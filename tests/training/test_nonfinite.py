"""Gradients and weights that are not finite: the run ends, and the error names the step and the microbatch."""

from dataclasses import replace

import numpy as np
import pytest

from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.job import Job
from ddmlp.training.messages import Unit
from ddmlp.training.setup import build_trainer
from ddmlp.training.worker import Worker
from tests.support.local import CONFIG, positions, train, trainer_with


class Steep(Worker):
    """Reports that the gradient of microbatch 3 of step 12 is not finite."""

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        row_stats = super().compute(unit, weights, out)
        return row_stats._replace(steepest=np.inf) if unit.step == 12 and 3 in range(*unit.node) else row_stats


class NotFinite(Worker):
    """Puts a value that is not finite into the gradient of a step, and does not report it."""

    step, place, bad = 12, "w2", np.nan

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        row_stats = super().compute(unit, weights, out)
        if unit.step == self.step:
            getattr(out, self.place)[0, 0] = self.bad
        return row_stats


def test_simple(job: Job, monkeypatch: pytest.MonkeyPatch):
    """A recomputation gives the same gradient, so the error can name the microbatch."""
    monkeypatch.setattr("ddmlp.training.nonfinite.Worker", Steep)
    with pytest.raises(TrainingError, match=r"step 12: .* microbatch 3 "):
        train(trainer_with(job, Steep))
    assert positions(job) == [0, 10]


def test_worker_is_suspected(job: Job):
    with pytest.raises(TrainingError, match=r"step 12: .* worker "):
        train(trainer_with(job, Steep))
    assert positions(job) == [0, 10]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_next_step_finds_it(bad: float, job: Job):
    worker_class = type("Worse", (NotFinite,), {"bad": bad})
    with pytest.raises(TrainingError, match=r"step 13: version 13\b.* worker "):
        train(trainer_with(job, worker_class))
    assert positions(job) == [0, 10]


@pytest.mark.parametrize("step", [12, 26, 53])
def test_no_checkpoint_has_it(step: int, job: Job):
    """The weight of a pixel that is zero in all rows affects no step, so only a checkpoint finds it: in the middle of
    an epoch, at its end, or at the end of the run."""
    worker_class = type("Corner", (NotFinite,), {"place": "w1", "step": step})
    saved = step + 1 if step > 12 else 20
    with pytest.raises(TrainingError, match=rf"version {saved} are not finite.* worker "):
        train(trainer_with(job, worker_class))
    assert positions(job)[-1] == {12: 10, 26: 20, 53: 50}[step]
    assert not (job.run / "model.npz").exists()


def test_weights_overflow(job: Job):
    job = replace(job, config=replace(CONFIG, lr=1e38))
    for kind in (build_trainer, lambda job: trainer_with(job, Worker)):
        with pytest.raises(TrainingError, match=r"step 0: .* finite gradients.* lr "):
            train(kind(job))
    assert positions(job) == [0]
