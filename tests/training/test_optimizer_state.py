"""The state of an optimizer is in each checkpoint, so resume and verify give the same weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddmlp.api.audit import verify
from ddmlp.config import TrainConfig
from ddmlp.errors import RunError
from ddmlp.nn.optimizer import SGD
from ddmlp.runs.checkpoint import load_checkpoint
from ddmlp.training import local_steps, setup
from ddmlp.training.job import Job
from ddmlp.training.reduction import NOTHING
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.worker import Worker
from tests.support.local import trainer_with
from tests.support.runs import begin, job, train

CONFIG = TrainConfig(hidden=8, batch=150, microbatch=64, epochs=2)


class Momentum(SGD):
    """Adds 0.9 times the previous update to each update."""

    def update(self, weights, left, right, step_size, out):
        velocity = self.state.setdefault("velocity", np.zeros_like(left))
        velocity *= np.float32(0.9)
        velocity += left + right if len(right) else left
        super().update(weights, velocity, NOTHING, step_size, out)


@pytest.fixture
def momentum(monkeypatch):
    for module in (setup, local_steps):
        monkeypatch.setattr(module, "SGD", Momentum)


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Job:
    begin(tmp_path / "run", CONFIG, data)
    return job(data, tmp_path / "run", 0, CONFIG)


def workers(job: Job) -> Trainer:
    """A trainer with one worker."""
    return trainer_with(job, Worker)


@pytest.mark.usefixtures("momentum")
@pytest.mark.parametrize("kind", [build_trainer, workers])
def test_simple(data: Path, tmp_path: Path, run: Job, kind: Callable[[Job], Trainer]):
    begin(tmp_path / "whole", CONFIG, data)
    whole = train(build_trainer(job(data, tmp_path / "whole", 0, CONFIG)), tmp_path / "whole")
    train(kind(replace(run, stop_after=13)), run.run)
    saved = load_checkpoint(run.run / "checkpoints" / "step-000000000013.npz")
    assert saved.state["velocity"].any()
    parted = train(kind(run), run.run)
    assert parted["weights_sha256"] == whole["weights_sha256"]
    assert verify(run.run).weights_sha256 == whole["weights_sha256"]
    assert verify(run.run, steps=(50, 54)).first == 50, "it starts from the state in that checkpoint"


def test_another_optimizer(run: Job, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(local_steps, "SGD", Momentum)
        train(build_trainer(run), run.run)
    with pytest.raises(RunError, match=r"differs in steps 0\.\.10"):
        verify(run.run)
