"""The records of a run: progress, seconds of training, and the row audit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import RunError, TrainingError
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import load_checkpoint
from ddmlp.runs.checkpoint_manager import CheckpointManager
from ddmlp.training import local_steps, recorder, step_loop
from ddmlp.training import trainer as trainers
from ddmlp.training.job import Job
from ddmlp.training.messages import Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.training_data import TrainingData
from ddmlp.training.worker import Worker
from tests.support.helpers import Clock
from tests.support.local import CONFIG, positions, train, trainer_with


@pytest.mark.parametrize("config", [{}, {"delay": 3}, {"staleness": 2}])
def test_progress(job: Job, monkeypatch, config: dict[str, int]):
    monkeypatch.setattr(recorder, "MAX_PENDING", 3)
    config = replace(CONFIG, batch=20, microbatch=20, **config)  # 200 steps per epoch, so every fourth one is recorded
    events, result = train(build_trainer(replace(job, config=config, stop_after=330)))
    noted = [event for event in events if event["event"] == "progress"]
    assert [event["step"] for event in noted] == [*range(4, 330, 4), 330]
    assert result["train_seconds"] == noted[-1]["seconds"] > 0
    updates = [sum(event["staleness"]["histogram"].values()) for event in noted]
    assert updates == [4] * 82 + [2]
    assert result["staleness"]["histogram"] == {str(config.delay): 330 - config.delay} | {
        str(versions): 1 for versions in range(config.delay)
    }


def with_worker(job: Job) -> Trainer:
    return trainer_with(job, Worker)


@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("kind", [build_trainer, with_worker])
def test_seconds_of_steps(job: Job, monkeypatch, kind: Callable[[Job], Trainer], delay: int):
    """The seconds of steps do not include tests, checkpoints and the time between calls."""
    clock = Clock()
    for module in (trainers, recorder, step_loop, local_steps):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(Worker, "compute", clock.costing(1, Worker.compute))
    monkeypatch.setattr(ParameterServer, "begin_step", clock.costing(1, ParameterServer.begin_step))
    monkeypatch.setattr(Network, "train", clock.costing(2, Network.train))
    monkeypatch.setattr(recorder, "evaluate", clock.costing(1e3, recorder.evaluate))
    monkeypatch.setattr(CheckpointManager, "save", clock.costing(1e6, CheckpointManager.save))
    trainer = kind(replace(job, config=replace(job.config, delay=delay, microbatch=150)))
    report = trainer.advance(50)
    while report.result is None:
        clock.now += 1e9 if trainer._loop.idle else 0
        report = trainer.advance(50)
    trainer.close()
    assert clock.now >= 2e3 + 8e6 + (1e9 if delay == 0 or kind is build_trainer else 0)
    assert report.result.seconds == 2 * 54


def test_seconds_without_rows(tmp_path: Path, monkeypatch):
    def publish(last: bool) -> None:
        with DatasetWriter(tmp_path / "train", (28, 28), 10, extend=True) as writer:
            writer.append(np.zeros((300, 28, 28), np.uint8), np.zeros(300, np.uint8))
            if last:
                writer.end()

    def poll(data: TrainingData, step: int, seconds: float) -> bool:
        clock.now += 1e3
        if step == 2:  # of two batches
            publish(last=True)
        return before(data, step, seconds)

    clock, before = Clock(), TrainingData.poll
    for module in (trainers, recorder, local_steps):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(TrainingData, "poll", poll)
    monkeypatch.setattr(Network, "train", clock.costing(1, Network.train))
    publish(last=False)
    config = replace(CONFIG, epochs=1, lr_schedule="constant", follow=True, microbatch=150)
    (tmp_path / "run").mkdir()
    trainer = build_trainer(Job(config, tmp_path, tmp_path / "run", workers=0, checkpoint_every=10**9))
    report = trainer.advance(1e9)
    trainer.close()
    assert clock.now > 1e3
    assert report.result is not None
    assert (report.result.rows, report.result.seconds) == (600, 2)


class Lying(Worker):
    """Reports false statistics for one unit."""

    step = 30

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        row_stats = super().compute(unit, weights, out)
        return row_stats._replace(**self.change(row_stats)) if unit.step == self.step else row_stats

    def change(self, row_stats: RowStats) -> dict[str, int]:
        raise NotImplementedError


class MissingRow(Lying):
    def change(self, row_stats: RowStats) -> dict[str, int]:
        return {"rows": row_stats.rows - 1}


class OtherRow(Lying):
    def change(self, row_stats: RowStats) -> dict[str, int]:
        return {"fingerprints": row_stats.fingerprints ^ 1}


class RepeatingItself(Worker):
    """Reads the rows of the previous step again, and reports these."""

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        return super().compute(unit._replace(step=29) if unit.step == 30 else unit, weights, out)


@pytest.mark.parametrize(
    ("worker_class", "says"),
    [
        (MissingRow, r"epoch 2: 3,999 rows were applied, expected 4,000"),
        (OtherRow, r"epoch 2: 4,000 rows .* is [0-9a-f]{16}, expected [0-9a-f]{16}"),
        (RepeatingItself, r"epoch 2: 4,000 rows .* is [0-9a-f]{16}, expected [0-9a-f]{16}"),
    ],
)
def test_rows_of_an_epoch(worker_class: type[Worker], says: str, job: Job):
    with pytest.raises(TrainingError, match=says):
        train(trainer_with(job, worker_class))
    assert positions(job)[-1] == 50, "the epoch's last checkpoint was not written"
    assert not (job.run / "model.npz").exists()


def test_rows_of_a_partial_epoch(job: Job):
    with pytest.raises(TrainingError, match=r"epoch 2, up to step 35: 1,199 rows were applied, expected 1,200"):
        train(trainer_with(replace(job, stop_after=35), MissingRow))
    assert not (job.run / "model.npz").exists()


def test_audit_resumes(job: Job):
    train(trainer_with(replace(job, stop_after=31), Worker))
    late = type("Late", (OtherRow,), {"step": 40})
    with pytest.raises(TrainingError, match=r"epoch 2: 4,000 rows .* is [0-9a-f]{16}, expected [0-9a-f]{16}"):
        train(trainer_with(job, late))
    checkpoint = load_checkpoint(job.run / "checkpoints" / "step-000000000031.npz")
    assert checkpoint.header.ledger.rows == 4 * 150


def test_checkpoint_without_audit(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.plan.row_audit.RowAudit.state", None)
    train(build_trainer(replace(job, stop_after=5)))
    monkeypatch.undo()
    with pytest.raises(RunError, match="ledger"):
        build_trainer(job)
