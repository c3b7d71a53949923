"""Runs whose updates are delayed by two steps, and their checkpoints."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ddmlp.config import TrainConfig
from ddmlp.data.manifest import Manifest
from ddmlp.runs.checkpoint_manager import CheckpointManager
from ddmlp.runs.events import Event
from ddmlp.runs.origin import Origin
from ddmlp.runs.result import RunResult
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.trainer import Trainer
from tests.support.runs import finish

CONFIG = TrainConfig(hidden=8, batch=400, microbatch=150, epochs=2, delay=2)  # 20 steps
STEPS = 20


def begun(folder: Path, data: Path, **config: Any) -> Job:
    """Begin a run with a checkpoint every 7 steps and after each epoch of 10 steps."""
    job = Job(replace(CONFIG, **config), data, folder, workers=0, checkpoint_every=7, keep=9)
    folder.mkdir()
    Run(folder).create(Origin.from_manifest(job.config, data, Manifest.read(data / "train")))
    return job


def manager_of(job: Job, **config: Any) -> CheckpointManager:
    data = Manifest.read(job.data / "train")
    origin = Origin.from_manifest(replace(job.config, **config), job.data, data)
    return CheckpointManager(Run(job.run), origin, data, job.keep)


def train(trainer: Trainer) -> tuple[list[Event], RunResult]:
    """Train to the end, and write the result; return the events and the result."""
    events, result = finish(trainer)
    Run(trainer._job.run).write_result(result)
    return events, result


def checkpoint_of(job: Job, step: int) -> Path:
    return job.run / "checkpoints" / f"step-{step:012}.npz"
