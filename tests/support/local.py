"""Trainers in this process with a given class of worker: events, results and checkpoints."""

from typing import Any

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.runs.hash_chain import HashChain
from ddmlp.runs.origin import Origin
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.worker import Worker
from tests.support.helpers import plain
from tests.support.local_pool import LocalWorkerPool
from tests.support.runs import finish

CONFIG = TrainConfig(hidden=8, batch=150, microbatch=32, epochs=2)  # 27 steps an epoch, the last of 100 rows


def train(trainer: Trainer) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train to the end; the events and the result."""
    events, result = finish(trainer)
    return plain(events), plain(result)


def trainer_with(job: Job, worker_class: type[Worker]) -> Trainer:
    """Return a trainer with a worker of this class."""

    def connect(dataset: Dataset, plan: Plan, shape: Shape) -> LocalWorkerPool:
        return LocalWorkerPool(worker_class(dataset, plan, shape))

    return build_trainer(job, connect)


def positions(job: Job) -> list[int]:
    """Return the steps of all checkpoints, from the hash chain."""
    origin = Origin(job.config, job.data, Dataset(job.data / "train").manifest.sha256())
    return [link.step for link in HashChain(job.run / "chain.jsonl", origin.fixed).entries()]
