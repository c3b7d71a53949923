"""The step loops with and without a worker, on a small dataset, without a trainer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import TrainingError
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.job import Job
from ddmlp.training.local_steps import LocalSteps
from ddmlp.training.loop import Applied, Loop
from ddmlp.training.nonfinite import nonfinite_error
from ddmlp.training.schedule import Schedule
from ddmlp.training.setup import start_server
from ddmlp.training.step_loop import StepLoop
from ddmlp.training.worker import Worker
from tests.support.local_pool import LocalWorkerPool

ROWS, SHAPE = 310, Shape(4, 3, 3)
STEEP_ROW = 77  # the only row of class 2


def write(path: Path) -> Dataset:
    """Write random rows; about half of the pixels are zero."""
    draw = np.random.default_rng(1)
    pixels = draw.integers(1, 256, (ROWS, 2, 2), np.uint8) * (draw.random((ROWS, 2, 2)) < 0.5).astype(np.uint8)
    labels = draw.integers(0, 2, ROWS, np.uint8)
    labels[STEEP_ROW] = 2
    with DatasetWriter(path, (2, 2), 3, shard_rows=90) as writer:
        writer.append(pixels, labels)
    return Dataset(path)


def steep() -> Weights:
    """Return weights for which STEEP_ROW has a non-finite gradient, and every other row a tiny one."""
    weights = Weights(SHAPE)
    weights.w2[:, :2], weights.w2[:, 2] = 1.6e38, -3e38
    return weights


def job_of(batch: int, microbatch: int, delay: int = 0, follow: bool = False, bits: int = 0) -> Job:
    rest = {"epochs": 1, "lr_schedule": "constant"} if follow else {"epochs": 2}
    rest |= {"delay": delay, "gradient_bits": bits}
    config = TrainConfig(hidden=3, batch=batch, microbatch=microbatch, follow=follow, **rest)
    return Job(config, Path(), Path(), workers=0, checkpoint_every=10**9)


def begin(weights: Weights | None = None) -> Checkpoint:
    return Checkpoint(weights or Weights.draw(SHAPE, 1), 0)


def local(job: Job, dataset: Dataset, start: Checkpoint | None = None) -> LocalSteps:
    return LocalSteps(job.config, dataset, job.plan(dataset.manifest), start or begin())


def looped(job: Job, dataset: Dataset, start: Checkpoint | None = None) -> StepLoop:
    """Return the step loop with a worker."""
    start, plan = start or begin(), job.plan(dataset.manifest)
    pool, optimizer = LocalWorkerPool(Worker(dataset, plan, SHAPE)), SGD(job.config, start.state)
    server = start_server(job, optimizer, start, pool)

    def diagnose(*asked: Any) -> TrainingError:
        return nonfinite_error(dataset, *asked)

    return StepLoop(optimizer, Schedule(job, start.step), server, pool, diagnose)


def made(loop: Loop, plan: Plan, upto: int | None = None) -> Iterator[list[Applied]]:
    """Yield the steps of each call, up to a position or to the end."""
    upto = plan.steps if upto is None else upto
    while loop.step < upto:
        before, applied = loop.step, loop.advance(plan, upto, 1e99)
        assert upto >= loop.step == before + len(applied) > before
        yield applied


def all_made(loop: Loop, plan: Plan, upto: int | None = None) -> list[Applied]:
    return [each for applied in made(loop, plan, upto) for each in applied]


def copied(snapshot: Checkpoint) -> Checkpoint:
    """Return a snapshot with copied arrays, like a checkpoint."""
    weights, *earlier = (Weights(SHAPE, each.flat.copy()) for each in (snapshot.weights, *snapshot.earlier))
    return Checkpoint(weights, snapshot.step, earlier=tuple(earlier), state=snapshot.state)


def hashes(loop: Loop) -> list[str]:
    """Return the SHA-256 of each version that later steps read."""
    snapshot = loop.snapshot()
    return [weights.sha256() for weights in (*snapshot.earlier, snapshot.weights)]
