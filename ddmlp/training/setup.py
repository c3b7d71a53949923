"""Builds a trainer: each part is complete before the part that uses it is built."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from ddmlp.data.dataset import Dataset
from ddmlp.nn.known_answer import check_arithmetic
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.checkpoint_manager import CheckpointManager
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.local_steps import LocalSteps
from ddmlp.training.loop import Loop
from ddmlp.training.nonfinite import nonfinite_error
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.recorder import Recorder
from ddmlp.training.schedule import Schedule
from ddmlp.training.step_loop import StepLoop
from ddmlp.training.trainer import Trainer
from ddmlp.training.training_data import TrainingData
from ddmlp.training.worker_pool import WorkerPool

log = logging.getLogger(__name__)

Connect = Callable[[Dataset, Plan, Shape], WorkerPool]


def build_trainer(job: Job, connect: Connect | None = None) -> Trainer:
    """Build a trainer at the run's newest checkpoint, or at the beginning of the run.

    The errors of `connect` are passed on. After any error, everything that was opened is closed again.

    Parameters
    ----------
    job : Job
        The settings and paths.
    connect : callable, optional
        Makes the worker pool; without it, everything is computed in this process.

    Raises
    ------
    RunError
        If the run is in use, or its folder has another run than the job's.
    MachineError
        If this machine does not compute the same bits as all others.
    DatasetError
        If the data are missing or damaged.
    """
    check_arithmetic()
    run = Run(job.run)
    with ExitStack() as stack:
        run.begin_writing()
        stack.callback(run.end_writing)
        data = TrainingData(job)
        stack.callback(data.close)
        manifest = data.dataset.manifest
        pool = connect(data.dataset, data.plan, job.shape(manifest)) if connect else None
        if pool:
            stack.callback(pool.close)
        origin = Origin.from_manifest(job.config, job.data, manifest)
        checkpoints = CheckpointManager(run, origin, manifest, job.keep)
        start = checkpoints.start
        for complaint in checkpoints.complaints:
            log.warning("%s", complaint)
        log.info("%s begins at step %d, with %s", job.run, start.step, job.config)
        schedule = Schedule(job, start.step)
        loop: Loop
        if pool:
            optimizer = SGD(job.config, start.state)
            server = start_server(job, optimizer, start, pool)
            loop = StepLoop(optimizer, schedule, server, pool, partial(nonfinite_error, data.dataset))
        else:
            loop = LocalSteps(job.config, data.dataset, data.plan, start)
        recorder = Recorder(job, run, data, loop, checkpoints)
        return Trainer(job, data, schedule, loop, recorder, stack.pop_all().close)


def start_server(job: Job, optimizer: SGD, start: Checkpoint, pool: WorkerPool) -> ParameterServer:
    """Start the server at the position of a checkpoint, and publish each version that later steps will read."""
    versions = range(start.step - len(start.earlier), start.step + 1)
    for version, weights in zip(versions, [*start.earlier, start.weights], strict=True):
        pool.reserve_weights(versions).flat[:] = weights.flat
        pool.publish_weights(version)
    bound, in_order = job.config.bound, not job.config.asynchronous
    return ParameterServer(optimizer, start.step, pool.weights[start.step], bound=bound, in_order=in_order)
