"""What a run resumes from: position, hash chain, row audit and order of updates; no checkpoint of another run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from ddmlp.data.manifest import Manifest
from ddmlp.errors import MachineError, RunError, TrainingError
from ddmlp.numerics import ARITHMETIC
from ddmlp.plan.plan import Update
from ddmlp.plan.row_audit import AuditState, all_rows
from ddmlp.plan.row_stats import RowStats, row_hash_sum
from ddmlp.runs.checkpoint import Checkpoint, Header, load_checkpoint, save_checkpoint
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.runs.versions import versions
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from tests.support.delays import begun, checkpoint_of, manager_of, train
from tests.support.floating_point import computing


def test_simple(job: Job):
    manager = manager_of(job)
    assert (manager.start.step, manager.saved, manager.complaints) == (0, -1, [])
    weights = manager.start.weights
    manager.save(Checkpoint(weights, 0), Header(train_seconds=1.5, staleness={}))
    again = manager_of(job)
    assert (again.start.step, again.saved, again.chain) == (0, 0, manager.chain)
    assert again.start.header == Header(
        config=Origin(job.config, job.data, "").fixed["config"],
        dataset_sha256=Manifest.read(job.data / "train").sha256(),
        arithmetic=ARITHMETIC,
        train_seconds=1.5,
        staleness={},
        chain=manager.chain,
        ledger=AuditState(0, "0" * 16),
        versions=versions(),
    )
    assert again.start.weights.sha256() == weights.sha256()


def test_row_audit(job: Job):
    """The row audit continues after a checkpoint, and starts at 0 in the next epoch."""
    manager = manager_of(job)
    manager.record_step(Update(0, 0), RowStats(2, row_hash_sum(np.array([3, 0])), 1.0, 0, 1.0))
    manager.save(Checkpoint(manager.start.weights, 1), Header(train_seconds=0.0, staleness={}))
    again = manager_of(job)
    again.record_step(Update(1, 1), RowStats(2, row_hash_sum(np.array([1, 2])), 1.0, 0, 1.0))
    again.verify_rows("epoch 1", all_rows(0, 4))
    again.begin_epoch()
    with pytest.raises(TrainingError, match=r"epoch 2\b.*\b0\b.*\b4\b"):
        again.verify_rows("epoch 2", all_rows(0, 4))


def test_other_version(job: Job):
    path = checkpoint_of(job, 5)
    train(build_trainer(replace(job, stop_after=5)))
    found = load_checkpoint(path)
    save_checkpoint(path, replace(found, header=structs.replace(found.header, versions={"numpy": "1.0"})))
    assert manager_of(job).complaints == [], "other libraries compute the same bits"
    for change, said in [({"ledger": None}, "ledger"), ({"arithmetic": 1}, "arithmetic")]:
        save_checkpoint(path, replace(found, header=structs.replace(found.header, **change)))
        with pytest.raises(RunError, match=said):
            manager_of(job)


def test_other_rounding(job: Job):
    manager = manager_of(job)
    with computing("flush"), pytest.raises(MachineError):
        manager.save(Checkpoint(manager.start.weights, 0), Header(train_seconds=0.0, staleness={}))
    assert Run(job.run).checkpoints.paths() == []


@pytest.mark.parametrize("config", [{"delay": 3}, {"delay": 0, "staleness": 2}, {"lr": 0.5}, {"seed": 1}])
def test_another_run(config: dict, job: Job):
    train(build_trainer(replace(job, stop_after=5)))
    with pytest.raises(RunError, match=r"/checkpoints .*\bconfig\b"):
        manager_of(job, **config)


def test_order_of_updates(data: Path, tmp_path: Path):
    for staleness, lines in [(0, None), (2, 3)]:
        job = begun(tmp_path / str(staleness), data, delay=0, staleness=staleness)
        manager = manager_of(job)
        for step in range(3):
            manager.record_step(Update(step, 0), RowStats(400, 7, 1.0, 0, 1.0))
        manager.save(Checkpoint(manager.start.weights, 3), Header(train_seconds=0.0, staleness={}))
        path = Run(job.run).updates
        assert path.exists() == bool(lines)
        assert not path.exists() or path.stat().st_size == lines * 26


def test_missing_updates(data: Path, tmp_path: Path):
    job = begun(tmp_path / "run", data, delay=0, staleness=2)
    train(build_trainer(replace(job, stop_after=5)))
    path = Run(job.run).updates
    path.write_bytes(path.read_bytes()[: 4 * 26])
    with pytest.raises(RunError, match=r"updates.txt\b.*\b4\b.*\b5\b"):
        build_trainer(job)
