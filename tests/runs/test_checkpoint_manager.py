"""What of a run survives: where it goes on, with what, and what is not its own."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from ddmlp.cli import replay, verify
from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest, Shard
from ddmlp.errors import RunError, TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.numerics import versions
from ddmlp.plan.plan import Update
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_audit import AuditState, all_rows
from ddmlp.plan.row_stats import RowStats, row_hash_sum
from ddmlp.runs.checkpoint import Checkpoint, Header, load_checkpoint, save_checkpoint
from ddmlp.runs.checkpoint_manager import CheckpointManager, check_trained_on, covering, trained_on
from ddmlp.runs.events import Event
from ddmlp.runs.origin import Origin
from ddmlp.runs.result import RunResult, RunStaleness
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.messages import Unit
from ddmlp.training.setup import local_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.worker import Worker
from tests.support.helpers import inside

CONFIG = TrainConfig(hidden=8, batch=400, microbatch=150, epochs=2, delay=2)  # 20 steps
STEPS = 20


def begun(folder: Path, data: Path, **config: Any) -> Job:
    """A run that has begun, with a checkpoint every 7 steps and at the end of each epoch of 10."""
    job = Job(replace(CONFIG, **config), data, folder, workers=0, checkpoint_every=7, keep=9)
    folder.mkdir()
    Run(folder).create(Origin.from_manifest(job.config, data, Manifest.read(data / "train")))
    return job


def manager_of(job: Job, **config: Any) -> CheckpointManager:
    data = Manifest.read(job.data / "train")
    origin = Origin.from_manifest(replace(job.config, **config), job.data, data)
    return CheckpointManager(Run(job.run), origin, data, job.keep)


def train(trainer: Trainer) -> tuple[list[Event], RunResult]:
    """Train to the end; the events, and the result, which is written."""
    events = []
    try:
        while True:
            report = trainer.advance(0.2)
            events += report.events
            if report.result is not None:
                Run(trainer._job.run).write_result(report.result)
                return events, report.result
    finally:
        trainer.close()


@pytest.fixture
def job(data: Path, tmp_path: Path) -> Job:
    return begun(tmp_path / "run", data)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, RunResult]:
    """A run that was not interrupted, not to be changed, and its result."""
    job = begun(tmp_path_factory.mktemp("whole") / "run", data)
    return job, train(local_trainer(job))[1]


def checkpoint_of(job: Job, step: int) -> Path:
    return job.run / "checkpoints" / f"step-{step:012}.npz"


def test_simple(job: Job):
    manager = manager_of(job)
    assert (manager.start.step, manager.saved, manager.complaints) == (0, -1, [])
    weights = manager.start.weights
    manager.save(Checkpoint(weights, 0), Header(train_seconds=1.5, staleness={}))
    again = manager_of(job)
    assert (again.start.step, again.saved, again.chain) == (0, 0, manager.chain)
    assert again.start.header == Header(
        config=job.config.as_dict(),
        dataset_sha256=Manifest.read(job.data / "train").sha256(),
        train_seconds=1.5,
        staleness={},
        chain=manager.chain,
        ledger=AuditState(0, "0" * 16),
        versions=versions(),
    )
    assert again.start.weights.sha256() == weights.sha256()


def test_the_rows_of_an_epoch(job: Job):
    """They are counted on after a checkpoint, and from none in the next epoch."""
    manager = manager_of(job)
    manager.record_step(Update(0, 0), RowStats(2, row_hash_sum(np.array([3, 0])), 1.0, 0))
    manager.save(Checkpoint(manager.start.weights, 1), Header(train_seconds=0.0, staleness={}))
    again = manager_of(job)
    again.record_step(Update(1, 1), RowStats(2, row_hash_sum(np.array([1, 2])), 1.0, 0))
    again.verify_rows("epoch 1", all_rows(0, 4))
    again.begin_epoch()
    with pytest.raises(TrainingError, match="epoch 2: 0 rows were applied, expected 4"):
        again.verify_rows("epoch 2", all_rows(0, 4))


def test_another_version_wrote_it(job: Job):
    path = checkpoint_of(job, 5)
    train(local_trainer(replace(job, stop_after=5)))
    found = load_checkpoint(path)
    save_checkpoint(path, replace(found, header=structs.replace(found.header, versions={"numpy": "1.0"})))
    (complaint,) = manager_of(job).complaints
    assert "1.0" in complaint
    save_checkpoint(path, replace(found, header=structs.replace(found.header, ledger=None)))
    with pytest.raises(RunError, match="no ledger"):
        manager_of(job)


@pytest.mark.parametrize("stop", range(STEPS + 1))
def test_stopped_anywhere_with_a_delay(stop: int, job: Job, whole: tuple[Job, RunResult]):
    _, stopped = train(local_trainer(replace(job, stop_after=stop)))
    assert (stopped.steps, stopped.finished) == (stop, stop == STEPS)
    assert len(load_checkpoint(checkpoint_of(job, stop)).earlier) == min(stop, 2)
    _, result = train(local_trainer(job))
    assert result.weights_sha256 == whole[1].weights_sha256
    assert result.staleness == whole[1].staleness
    assert (result.rows, result.finished) == (8_000, True)


def test_staleness_of_a_delay(whole: tuple[Job, RunResult]):
    assert whole[1].staleness == RunStaleness(
        bound=0, delay=2, mean=(1 + 2 * 18) / 20, max=2, histogram={0: 1, 1: 1, 2: 18}
    )


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_staleness_without_updates(stop: int, job: Job):
    _, found = train(local_trainer(replace(job, stop_after=stop)))
    _, again = train(local_trainer(replace(job, stop_after=stop)))
    for result in (found, again):
        assert result.staleness.histogram == dict.fromkeys(range(stop), 1)
        assert result.staleness.max == max(0, stop - 1)


def test_earlier_weights(job: Job):
    train(local_trainer(replace(job, checkpoint_every=1, keep=99)))
    versions = {step: load_checkpoint(checkpoint_of(job, step)) for step in range(STEPS + 1)}
    hashes = {step: each.weights.sha256() for step, each in versions.items()}
    for step, each in versions.items():
        assert [weights.sha256() for weights in each.earlier] == [hashes[n] for n in range(max(0, step - 2), step)]


def test_each_delay_has_its_weights(data: Path, tmp_path: Path):
    hashes = {}
    for delay in (0, 1, 2, 30):
        _, result = train(local_trainer(begun(tmp_path / str(delay), data, delay=delay)))
        hashes[delay] = result.weights_sha256
        assert result.staleness.max == min(delay, STEPS - 1)
    assert len({*hashes.values()}) == 4


def test_a_delay_is_what_it_says(job: Job, whole: tuple[Job, RunResult]):
    """Computed again with nothing of the trainer: the gradient of step s at version s - 2 makes version s + 1."""
    dataset = Dataset(job.data / "train")
    plan, shape = job.plan(dataset.manifest), job.shape(dataset.manifest)
    worker, gradient = Worker(dataset, plan, shape), Weights(shape)
    versions = [Weights.draw(shape, CONFIG.seed)]
    for step in range(STEPS):
        worker.compute(Unit(step, 0, Node(0, plan.microbatches(step))), versions[max(0, step - 2)], gradient)
        rate = np.float32(CONFIG.lr * (1 - step / STEPS) / CONFIG.batch)
        versions.append(Weights(shape, versions[-1].flat - rate * gradient.flat))
    assert versions[-1].sha256() == whole[1].weights_sha256


def flip(flat: np.ndarray) -> None:
    flat.view(np.uint32)[-1] ^= 1 << 20


@pytest.mark.parametrize("which", [0, 1])
def test_damaged_earlier_weights(which: int, job: Job, whole: tuple[Job, RunResult]):
    train(local_trainer(replace(job, stop_after=16)))
    path = checkpoint_of(job, 16)
    with np.load(path) as file:
        arrays = dict(file.items())
    flip(arrays["earlier"][which])
    np.savez(path, **arrays)
    events, result = train(local_trainer(job))
    assert events[0].step == 14
    assert [f"{path} is damaged: the SHA-256" in text for text in events[0].complaints] == [True]
    assert result.weights_sha256 == whole[1].weights_sha256


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_other_earlier_weights(kept: int, job: Job):
    train(local_trainer(replace(job, stop_after=16)))
    path = checkpoint_of(job, 16)
    with np.load(path) as file:
        arrays = dict(file.items())
    arrays["earlier"] = np.concatenate([arrays["earlier"]] * 2)[:kept]
    np.savez(path, **arrays)
    events, _ = train(local_trainer(job))
    assert events[0].step == 14
    assert f"it has {kept + 1} versions of the weights, expected 3" in events[0].complaints[0]


def test_a_delay_verified_and_replayed(whole: tuple[Job, RunResult]):
    run, result = whole[0].run, whole[1]
    done = inside(verify.main, run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "verified        steps 0..20, 5 checkpoints",
        f"weights sha256  {result.weights_sha256}",
    ]
    assert "steps 10..14, 2 checkpoints" in inside(verify.main, run, "--steps", "10..14").stdout, "from a checkpoint"
    done = inside(replay.main, run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "replayed        20 updates, 1.85 versions old on average, 2 at most",
        f"weights sha256  {result.weights_sha256}, as the run says",
    ]


def test_wrong_earlier_weights(whole: tuple[Job, RunResult], tmp_path: Path):
    """They are on no chain: what starts from them comes to other weights than it says."""
    run = Path(shutil.copytree(whole[0].run, tmp_path / "run"))
    path = checkpoint_of(replace(whole[0], run=run), 10)
    found = load_checkpoint(path)
    flip(found.earlier[0].flat)
    save_checkpoint(path, found)
    done = inside(verify.main, run, "--steps", "10..20")
    assert done.returncode == 1
    assert "differs in steps 10..14" in done.stderr
    assert inside(verify.main, run).returncode == 0, "from the beginning they are not read"


SHARDS = [Shard(f"{place}.arrow", rows, 100, f"{place}" * 64) for place, rows in enumerate([5, 7, 3])]


def manifest_of(*shards: Shard, ended: bool = False) -> Manifest:
    return Manifest(sum(shard.rows for shard in shards), (2, 2), 10, 5, shards, ended)


@pytest.mark.parametrize(("rows", "shards"), [(0, 0), (1, 1), (5, 1), (6, 2), (12, 2), (13, 3), (15, 3)])
def test_shards_of_rows(rows: int, shards: int):
    assert covering(manifest_of(*SHARDS), rows) == shards
    assert trained_on(manifest_of(*SHARDS), rows).shards == shards


def test_trained_on(job: Job):
    run, start = Run(job.run), manager_of(job).start
    for rows in range(16):
        header = structs.replace(start.header, data=trained_on(manifest_of(*SHARDS), rows))
        checkpoint = replace(start, header=header)
        shards = covering(manifest_of(*SHARDS), rows)
        other = Shard("other", 7, 100, "a" * 64)
        for now in ([*SHARDS], [*SHARDS, other], [*SHARDS[:2], other], SHARDS[:1], [other, *SHARDS[1:]]):
            if now[:shards] == SHARDS[:shards]:
                check_trained_on(checkpoint, manifest_of(*now, ended=True), run)
                continue
            with pytest.raises(RunError, match=rf"does not begin with the {shards} shards that .*run was trained on"):
                check_trained_on(checkpoint, manifest_of(*now), run)


def test_trained_on_is_not_said(job: Job):
    with pytest.raises(RunError, match="does not say what it was trained on"):
        check_trained_on(manager_of(job).start, manifest_of(*SHARDS), Run(job.run))


@pytest.mark.parametrize("config", [{"delay": 3}, {"delay": 0, "staleness": 2}, {"lr": 0.5}, {"seed": 1}])
def test_a_checkpoint_of_another_run(config: dict, job: Job):
    train(local_trainer(replace(job, stop_after=5)))
    with pytest.raises(RunError, match="has a checkpoint of another run: its config differs"):
        manager_of(job, **config)


def test_only_asynchronous_has_an_order(data: Path, tmp_path: Path):
    for staleness, lines in [(0, None), (2, 3)]:
        job = begun(tmp_path / str(staleness), data, delay=0, staleness=staleness)
        manager = manager_of(job)
        for step in range(3):
            manager.record_step(Update(step, 0), RowStats(400, 7, 1.0, 0))
        manager.save(Checkpoint(manager.start.weights, 3), Header(train_seconds=0.0, staleness={}))
        path = Run(job.run).updates
        assert path.exists() == bool(lines)
        assert not path.exists() or path.stat().st_size == lines * 26


def test_missing_updates(data: Path, tmp_path: Path):
    job = begun(tmp_path / "run", data, delay=0, staleness=2)
    train(local_trainer(replace(job, stop_after=5)))
    path = Run(job.run).updates
    path.write_bytes(path.read_bytes()[: 4 * 26])
    with pytest.raises(RunError, match=r"updates.txt has 4 lines, expected at least 5"):
        local_trainer(job)
