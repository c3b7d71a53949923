"""The loop in one process: what it checks, what it writes when, and how it stops."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError, RunError, TrainingError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import load_checkpoint
from ddmlp.runs.checkpoint_manager import CheckpointManager
from ddmlp.runs.hash_chain import HashChain
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training import recorder, step_loop
from ddmlp.training import trainer as trainers
from ddmlp.training.job import Job
from ddmlp.training.local_pool import LocalWorkerPool
from ddmlp.training.messages import Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.setup import build_trainer, local_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.training_data import TrainingData
from ddmlp.training.worker import Worker
from tests.support.helpers import Clock, plain

CONFIG = TrainConfig(hidden=8, batch=150, microbatch=32, epochs=2)  # 27 steps an epoch, the last of 100 rows


@pytest.fixture
def job(data: Path, tmp_path: Path) -> Job:
    (tmp_path / "run").mkdir()
    return Job(CONFIG, data, tmp_path / "run", workers=0, checkpoint_every=10)


def train(trainer: Trainer) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train to the end; the events and the result."""
    events = []
    try:
        while True:
            report = trainer.advance(0.05)
            events += plain(report.events)
            if report.result is not None:
                return events, plain(report.result)
    finally:
        trainer.close()


def trainer_with(job: Job, worker_class: type[Worker]) -> Trainer:
    """A trainer whose worker is of this class."""

    def connect(dataset: Dataset, plan: Plan, shape: Shape) -> LocalWorkerPool:
        return LocalWorkerPool(worker_class(dataset, plan, shape))

    return build_trainer(job, connect)


def positions(job: Job) -> list[int]:
    origin = Origin(job.config, job.data, Dataset(job.data / "train").manifest.sha256())
    return [link.step for link in HashChain(job.run / "chain.jsonl", origin.fixed).entries()]


def test_simple(job: Job):
    events, result = train(local_trainer(job))
    assert events[0] == {"event": "start", "step": 0, "complaints": []}
    assert (result["steps"], result["rows"], result["finished"]) == (54, 8_000, True)
    assert result["answered"] == {"0": 54}
    saved = [event for event in events if event["event"] == "checkpoint"]
    assert [event["step"] for event in saved] == positions(job) == [0, 10, 20, 27, 30, 40, 50, 54]
    assert saved[-1]["chain"] == result["chain"]
    assert all(event["seconds"] > 0 for event in saved)


@pytest.mark.parametrize("config", [{}, {"delay": 3}, {"staleness": 2}])
def test_progress_is_noted_where_it_is_due_and_tells_of_every_step(job: Job, monkeypatch, config: dict[str, int]):
    monkeypatch.setattr(recorder, "MAX_PENDING", 3)
    config = replace(CONFIG, batch=20, microbatch=20, **config)  # 200 steps an epoch, so each fourth
    events, result = train(local_trainer(replace(job, config=config, stop_after=330)))
    noted = [event for event in events if event["event"] == "progress"]
    assert [event["step"] for event in noted] == [*range(4, 330, 4), 330]
    assert result["train_seconds"] == noted[-1]["seconds"] > 0
    updates = [sum(event["staleness"]["histogram"].values()) for event in noted]
    assert updates == [4] * 82 + [2]
    assert result["staleness"]["histogram"] == {str(config.delay): 330 - config.delay} | {
        str(versions): 1 for versions in range(config.delay)
    }


@pytest.mark.parametrize("delay", [0, 2])
def test_training_takes_the_seconds_of_its_steps_not_those_of_tests_checkpoints_and_whoever_calls(
    job: Job, monkeypatch, delay: int
):
    clock = Clock()
    for module in (trainers, recorder, step_loop):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(Worker, "compute", clock.costing(1, Worker.compute))
    monkeypatch.setattr(ParameterServer, "begin_step", clock.costing(1, ParameterServer.begin_step))
    monkeypatch.setattr(recorder, "evaluate", clock.costing(1e3, recorder.evaluate))
    monkeypatch.setattr(CheckpointManager, "save", clock.costing(1e6, CheckpointManager.save))
    trainer = local_trainer(replace(job, config=replace(job.config, delay=delay, microbatch=150)))
    report = trainer.advance(50)
    while report.result is None:
        clock.now += 1e9 if trainer._loop.idle else 0
        report = trainer.advance(50)
    trainer.close()
    assert clock.now >= 2e3 + 8e6 + (1e9 if delay == 0 else 0)
    assert report.result.seconds == 2 * 54


def test_training_takes_not_the_seconds_in_which_there_was_nothing_to_train_on(tmp_path: Path, monkeypatch):
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
    for module in (trainers, recorder, step_loop):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(TrainingData, "poll", poll)
    monkeypatch.setattr(Worker, "compute", clock.costing(1, Worker.compute))
    publish(last=False)
    config = replace(CONFIG, epochs=1, lr_schedule="constant", follow=True, microbatch=150)
    (tmp_path / "run").mkdir()
    trainer = local_trainer(Job(config, tmp_path, tmp_path / "run", workers=0, checkpoint_every=10**9))
    report = trainer.advance(1e9)
    trainer.close()
    assert clock.now > 1e3
    assert report.result is not None
    assert (report.result.rows, report.result.seconds) == (600, 4)


class Lying(Worker):
    """Says of one unit something else than what it has read."""

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
    """Reads the rows of the step before once more, and honestly says so."""

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        return super().compute(unit._replace(step=29) if unit.step == 30 else unit, weights, out)


@pytest.mark.parametrize(
    ("worker_class", "says"),
    [
        (MissingRow, r"epoch 2: 3,999 rows were applied, expected 4,000"),
        (OtherRow, r"epoch 2: 4,000 rows were applied, but not those of the plan, each of them once"),
        (RepeatingItself, r"epoch 2: 4,000 rows were applied, but not those of the plan, each of them once"),
    ],
)
def test_an_epoch_whose_rows_are_not_each_applied_once_ends_the_run(worker_class: type[Worker], says: str, job: Job):
    with pytest.raises(TrainingError, match=says):
        train(trainer_with(job, worker_class))
    assert positions(job)[-1] == 50, "the epoch's last checkpoint was not written"
    assert not (job.run / "model.npz").exists()


def test_the_rows_of_a_part_of_an_epoch_are_checked_too(job: Job):
    with pytest.raises(TrainingError, match=r"epoch 2, up to step 35: 1,199 rows were applied, expected 1,200"):
        train(trainer_with(replace(job, stop_after=35), MissingRow))
    assert not (job.run / "model.npz").exists()


def test_the_ledger_goes_on_where_the_checkpoint_was(job: Job):
    train(trainer_with(replace(job, stop_after=31), Worker))
    late = type("Late", (OtherRow,), {"step": 40})
    with pytest.raises(TrainingError, match="epoch 2: 4,000 rows were applied, but not"):
        train(trainer_with(job, late))
    checkpoint = load_checkpoint(job.run / "checkpoints" / "step-000000000031.npz")
    assert checkpoint.header.ledger.rows == 4 * 150


def test_a_checkpoint_without_a_ledger_is_refused(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.plan.row_audit.RowAudit.state", None)
    train(local_trainer(replace(job, stop_after=5)))
    monkeypatch.undo()
    with pytest.raises(RunError, match="no ledger"):
        local_trainer(job)


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
def test_a_gradient_that_is_not_finite_is_named_by_step_and_microbatch(
    worker_class: type[Worker], job: Job, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ddmlp.training.recompute.Worker", worker_class)
    with pytest.raises(
        TrainingError, match=r"after step 12: the gradient of microbatch 3 is not finite.*checkpoint is kept"
    ):
        train(trainer_with(job, worker_class))
    assert positions(job) == [0, 10]


def test_a_worker_that_alone_sees_no_finite_gradient_is_suspected(job: Job):
    with pytest.raises(TrainingError, match=r"after step 12: computed again.*or a worker has computed wrongly"):
        train(trainer_with(job, NotFinite))
    assert positions(job) == [0, 10]


def test_weights_that_grow_too_large_are_told_from_bad_gradients(job: Job):
    config = replace(CONFIG, lr=1e38)
    with pytest.raises(
        TrainingError, match=r"after step 0: computed again, its microbatches have finite gradients.*--lr"
    ):
        train(local_trainer(replace(job, config=config)))


def test_a_checkpoint_waits_for_the_data_to_be_verified(job: Job, data: Path, tmp_path: Path):
    shutil.copytree(data, tmp_path / "data")
    shard = sorted((tmp_path / "data" / "train").glob("*.arrow"))[0]
    damaged = bytearray(shard.read_bytes())
    damaged[-5_000] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(DatasetError, match=shard.name):
        train(local_trainer(replace(job, data=tmp_path / "data")))
    assert positions(replace(job, data=tmp_path / "data")) == [0]


def test_a_chain_that_does_not_lead_to_the_checkpoint_is_said_and_goes_on(job: Job):
    train(local_trainer(replace(job, stop_after=31)))
    lines = (job.run / "chain.jsonl").read_text().splitlines()
    (job.run / "chain.jsonl").write_text("\n".join(lines[:2] + lines[3:]) + "\n")
    events, result = train(local_trainer(job))
    assert events[0]["step"] == 31
    assert len(events[0]["complaints"]) == 1
    assert "line 3" in events[0]["complaints"][0]
    assert json.loads((job.run / "chain.jsonl").read_text().splitlines()[-1])["digest"] == result["chain"]


def test_a_run_without_any_good_checkpoint_begins_again_and_says_so(job: Job):
    _, expected = train(local_trainer(job))
    for path in (job.run / "checkpoints").iterdir():
        path.write_bytes(b"")
    events, found = train(local_trainer(job))
    assert events[0]["step"] == 0
    assert len(events[0]["complaints"]) == 4
    assert "it begins again" in events[0]["complaints"][-1]
    assert (found["weights_sha256"], found["chain"]) == (expected["weights_sha256"], expected["chain"])


def test_two_trainers_do_not_write_to_one_run(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.runs.run.WRITER_SECONDS", 0.1)
    first = local_trainer(job)
    with pytest.raises(RunError, match=r"another process has been writing to .*run for 0.1 s"):
        local_trainer(job)
    train(first)
    assert local_trainer(job).step == 54


def test_keep_is_how_many_checkpoints_stay(job: Job):
    train(local_trainer(replace(job, keep=5)))
    assert [path.stem for path in Run(job.run).checkpoints.paths()] == [f"step-{n:012d}" for n in (54, 50, 40, 30, 27)]
