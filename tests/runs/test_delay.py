"""Delayed gradients: the weights, stops at every step, and the earlier weights in a checkpoint."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ddmlp.cli import replay, verify
from ddmlp.data.dataset import Dataset
from ddmlp.nn.weights import Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.runs.checkpoint import load_checkpoint, save_checkpoint
from ddmlp.runs.result import RunResult, RunStaleness
from ddmlp.training.job import Job
from ddmlp.training.messages import Unit
from ddmlp.training.setup import build_trainer
from ddmlp.training.worker import Worker
from tests.support.delays import CONFIG, STEPS, begun, checkpoint_of, train
from tests.support.helpers import inside


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, RunResult]:
    """A run that was not interrupted, and its result. Tests must not change it."""
    job = begun(tmp_path_factory.mktemp("whole") / "run", data)
    return job, train(build_trainer(job))[1]


@pytest.mark.parametrize(
    "stop", [pytest.param(stop, marks=[pytest.mark.slow] if 3 < stop < STEPS - 1 else []) for stop in range(STEPS + 1)]
)
def test_stop_anywhere(stop: int, job: Job, whole: tuple[Job, RunResult]):
    _, stopped = train(build_trainer(replace(job, stop_after=stop)))
    assert (stopped.steps, stopped.finished) == (stop, stop == STEPS)
    assert len(load_checkpoint(checkpoint_of(job, stop)).earlier) == min(stop, 2)
    _, result = train(build_trainer(job))
    assert result.weights_sha256 == whole[1].weights_sha256
    assert result.staleness == whole[1].staleness
    assert (result.rows, result.finished) == (8_000, True)


def test_staleness(whole: tuple[Job, RunResult]):
    assert whole[1].staleness == RunStaleness(
        bound=0, delay=2, mean=(1 + 2 * 18) / 20, max=2, histogram={0: 1, 1: 1, 2: 18}
    )


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_staleness_at_stop(stop: int, job: Job):
    _, found = train(build_trainer(replace(job, stop_after=stop)))
    _, again = train(build_trainer(replace(job, stop_after=stop)))
    for result in (found, again):
        assert result.staleness.histogram == dict.fromkeys(range(stop), 1)
        assert result.staleness.max == max(0, stop - 1)


def test_earlier_weights(job: Job):
    train(build_trainer(replace(job, checkpoint_every=1, keep=99)))
    versions = {step: load_checkpoint(checkpoint_of(job, step)) for step in range(STEPS + 1)}
    hashes = {step: each.weights.sha256() for step, each in versions.items()}
    for step, each in versions.items():
        assert [weights.sha256() for weights in each.earlier] == [hashes[n] for n in range(max(0, step - 2), step)]


def test_other_delays(data: Path, tmp_path: Path):
    hashes = {}
    for delay in (0, 1, 2, 30):
        _, result = train(build_trainer(begun(tmp_path / str(delay), data, delay=delay)))
        hashes[delay] = result.weights_sha256
        assert result.staleness.max == min(delay, STEPS - 1)
    assert len({*hashes.values()}) == 4


def test_definition(job: Job, whole: tuple[Job, RunResult]):
    """Computed without the trainer: the gradient of step s at version s - 2 makes version s + 1."""
    dataset = Dataset(job.data / "train")
    plan, shape = job.plan(dataset.manifest), job.shape(dataset.manifest)
    worker, gradient = Worker(dataset, plan, shape), Weights(shape)
    versions = [Weights.draw(shape, CONFIG.seed)]
    for step in range(STEPS):
        worker.compute(Unit(step, 0, Node(0, plan.microbatches(step))), versions[max(0, step - 2)], gradient)
        rate = np.float32(CONFIG.lr * (1 - step / STEPS) / CONFIG.batch)
        moved = versions[-1].values - np.float64(rate) * gradient.values  # rounded once, as a fused multiply-add is
        versions.append(Weights.from_values(shape, moved))
    assert versions[-1].sha256() == whole[1].weights_sha256


def flip(flat: np.ndarray) -> None:
    flat.view(np.uint32)[-1] ^= 1 << 20


@pytest.mark.parametrize("which", [0, 1])
def test_damaged_earlier(which: int, job: Job, whole: tuple[Job, RunResult]):
    train(build_trainer(replace(job, stop_after=16)))
    path = checkpoint_of(job, 16)
    with np.load(path) as file:
        arrays = dict(file.items())
    flip(arrays["earlier"][which])
    np.savez(path, **arrays)
    events, result = train(build_trainer(job))
    assert events[0].step == 14
    assert [f"{path} " in text and "SHA-256" in text for text in events[0].complaints] == [True]
    assert result.weights_sha256 == whole[1].weights_sha256


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_other_earlier(kept: int, job: Job):
    train(build_trainer(replace(job, stop_after=16)))
    path = checkpoint_of(job, 16)
    with np.load(path) as file:
        arrays = dict(file.items())
    arrays["earlier"] = np.concatenate([arrays["earlier"]] * 2)[:kept]
    np.savez(path, **arrays)
    events, _ = train(build_trainer(job))
    assert events[0].step == 14
    assert re.search(rf"\b{kept + 1} versions\b.*\b3\b", events[0].complaints[0])


def test_verify_and_replay(whole: tuple[Job, RunResult]):
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
        f"weights sha256  {result.weights_sha256}, as recorded",
    ]


def test_wrong_earlier(whole: tuple[Job, RunResult], tmp_path: Path):
    """The hash chain does not cover them, but training from them gives other weights than the chain."""
    run = Path(shutil.copytree(whole[0].run, tmp_path / "run"))
    path = checkpoint_of(replace(whole[0], run=run), 10)
    found = load_checkpoint(path)
    flip(found.earlier[0].w2[:, -1])
    save_checkpoint(path, found)
    done = inside(verify.main, run, "--steps", "10..20")
    assert done.returncode == 1
    assert "differs in steps 10..14" in done.stderr
    assert inside(verify.main, run).returncode == 0, "a verification from step 0 does not read them"
