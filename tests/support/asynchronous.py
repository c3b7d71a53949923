"""Asynchronous runs in one process: workers that answer in random order."""

import random
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.runs.run import Run
from ddmlp.runs.update_log import UpdateLog
from ddmlp.training.job import Job
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.worker import Worker
from ddmlp.training.worker_pool import PoolStats
from tests.support import runs
from tests.support.local_pool import LocalWorkerPool

# 27 steps an epoch, the last of 100 rows.
CONFIG = TrainConfig(hidden=8, batch=150, microbatch=64, epochs=2, staleness=3)
STEPS = 54
WORKERS = 4


class ShuffledPool(LocalWorkerPool):
    """Several workers that answer in random order; each answers its own units in the order received."""

    connections, capacities = WORKERS, (1,) * WORKERS

    def __init__(self, worker: Worker, seed: int, capacity: int) -> None:
        super().__init__(worker)
        self.queue = UnitQueue(capacity)
        self.answered = dict.fromkeys(range(WORKERS), 0)
        self._draw = random.Random(seed)

    @property
    def full(self) -> bool:
        return self.queue.full

    @property
    def stats(self) -> PoolStats:
        return PoolStats(WORKERS, self.queue.depth, self.queue.high_water, answered=self.answered)

    def submit(self, unit: Unit) -> None:
        self.queue.put(unit)

    def next_result(self, timeout: float = 0.0) -> Gradient:  # noqa: ARG002
        for worker in range(self.queue.capacity):  # one unit per round, so that no worker is idle while another has two
            self.queue.take(worker % WORKERS, time.monotonic())
        worker = self._draw.choice([worker for worker in range(WORKERS) if self.queue.current_unit(worker)])
        unit = self.queue.current_unit(worker)
        row_stats = self._worker.compute(unit, self.weights[unit.version], self._gradient)
        gradient = Gradient(unit, self._gradient.flat, row_stats, worker)
        assert self.queue.accept(gradient)
        self.answered[worker] += 1
        return gradient

    def reserve_weights(self, keep: Collection[int]) -> Weights:
        weights = self.weights.reserve(self.queue.versions_in_use().union(keep))
        assert weights is not None
        return weights


def trainer_of(job: Job, seed: int = 1) -> Trainer:
    """Return a trainer whose workers answer in a random order given by the seed."""

    def connect(dataset: Dataset, plan: Plan, shape: Shape) -> ShuffledPool:
        return ShuffledPool(Worker(dataset, plan, shape), seed, job.queue_capacity)

    return build_trainer(job, connect)


def begun(folder: Path, data: Path, **config: Any) -> Job:
    """Begin a run; return its job."""
    settings = replace(CONFIG, **config)
    runs.begin(folder, settings, data)
    return Job(settings, data, folder, WORKERS, checkpoint_every=10)


def train(job: Job, seed: int = 1) -> dict[str, Any]:
    """Continue the run to the end; return the result."""
    return runs.train(trainer_of(job, seed), job.run, seconds=0)


def order_of(job: Job, count: int = STEPS) -> NDArray[np.int64]:
    """Return the order of updates (count, 2): the step of each, and the version that it read."""
    return UpdateLog(Run(job.run).updates).load(count)


def histogram_of(job: Job) -> dict[str, int]:
    """Return the number of updates by staleness, as in the result."""
    ages = Counter(version - read for version, (_, read) in enumerate(order_of(job).tolist()))
    return {str(versions): ages[versions] for versions in sorted(ages)}
