"""Gradients and weights that are not finite: the run ends, and names the step and the microbatch."""

from dataclasses import replace

import numpy as np
import pytest

from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from ddmlp.training.worker import Worker
from tests.support.local import CONFIG, positions, train, trainer_with


class NotFinite(Worker):
    """Microbatch 3 of step 12 gives what is not finite."""

    bad = np.nan

    def _microbatch(self, step: int, index: int, weights: Weights, out: Weights) -> RowStats:
        row_stats = super()._microbatch(step, index, weights, out)
        if (step, index) == (12, 3):
            out.flat[5] = self.bad
        return row_stats


class Infinite(NotFinite):
    bad = np.inf


@pytest.mark.parametrize("worker_class", [NotFinite, Infinite])
def test_simple(worker_class: type[Worker], job: Job, monkeypatch: pytest.MonkeyPatch):
    """Whoever computes the gradient, it is the same: so the microbatch is named."""
    monkeypatch.setattr("ddmlp.training.recompute.Worker", worker_class)
    with pytest.raises(TrainingError, match=r"step 12: .* microbatch 3 "):
        train(trainer_with(job, worker_class))
    assert positions(job) == [0, 10]


def test_worker_is_suspected(job: Job):
    with pytest.raises(TrainingError, match=r"step 12: .* worker "):
        train(trainer_with(job, NotFinite))
    assert positions(job) == [0, 10]


def test_weights_that_grow_too_large(job: Job):
    config = replace(CONFIG, lr=1e38)
    with pytest.raises(TrainingError, match=r"step 0: .* finite gradients.*--lr"):
        train(build_trainer(replace(job, config=config)))
