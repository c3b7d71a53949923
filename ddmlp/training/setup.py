"""Builds a trainer: each part is complete before the part that uses it is built."""

import logging
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.errors import ConfigError, TrainingError
from ddmlp.nn.known_answer import check_arithmetic
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan, Update
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.checkpoint_manager import CheckpointManager
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.coordinator import Coordinator, Servers
from ddmlp.training.job import Job
from ddmlp.training.local_steps import LocalSteps
from ddmlp.training.loop import Loop
from ddmlp.training.nonfinite import nonfinite_error
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.pixel_stage import PixelStage
from ddmlp.training.recorder import Recorder
from ddmlp.training.schedule import Schedule
from ddmlp.training.slices import NOTHING_HERE
from ddmlp.training.step_loop import StepLoop
from ddmlp.training.trace import Trace
from ddmlp.training.trainer import Trainer
from ddmlp.training.training_data import TrainingData
from ddmlp.training.worker_pool import WorkerPool

log = logging.getLogger(__name__)

Connect = Callable[[Dataset, Plan, Shape], WorkerPool]
Reach = Callable[[Dataset, Shape], Servers]


def build_trainer(
    job: Job, connect: Connect | None = None, reach: Reach | None = None, updates: NDArray[np.int64] | None = None
) -> Trainer:
    """Build a trainer at the run's newest checkpoint, or at the beginning of the run.

    The errors of `connect` and `reach` are passed on. After any error, everything that was opened is closed again.

    Parameters
    ----------
    job : Job
        The settings and paths.
    connect : callable, optional
        Makes the worker pool; without it, everything is computed in this process.
    reach : callable, optional
        Connects to the servers that have the weights; without it, this process has them.
    updates : (versions, 2) int64, optional
        The order of updates of an asynchronous run in this process; see `LocalSteps`.

    Raises
    ------
    RunError
        If the run is in use, or its folder has another run than the job's.
    MachineError
        If this machine does not compute the same bits as all others.
    DatasetError
        If the data are missing or damaged.
    ConfigError
        If the transform of the job cannot be used; see `PixelStage`.
    """
    check_arithmetic()
    run = Run(job.run)
    with ExitStack() as stack:
        run.begin_writing()
        stack.callback(run.end_writing)
        data = TrainingData(job)
        stack.callback(data.close)
        manifest = data.dataset.manifest
        shape = job.shape(manifest)
        servers = reach(data.dataset, shape) if reach else None
        if servers:
            stack.callback(servers.close)
        pool = connect(data.dataset, data.plan, NOTHING_HERE if servers else shape) if connect else None
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

            def diagnose(plan: Plan, update: Update, weights: Weights) -> TrainingError:
                return nonfinite_error(data.dataset, plan, update, weights, PixelStage.of(job, data.dataset))

            optimizer = SGD(job.config, start.state)
            server = start_server(job, optimizer, start, pool, servers)
            loop = StepLoop(optimizer, schedule, server, pool, diagnose, servers)
        else:
            stage = PixelStage.of(job, data.dataset)
            loop = LocalSteps(job.config, data.dataset, data.plan, start, updates, stage)
        recorder = Recorder(job, run, data, loop, checkpoints)
        if job.trace:
            trace = Trace(job.run, start.step, job.workers)
            if pool:
                trace.follow_server(server)
                pool.observe(trace)
            else:
                trace.follow_steps(loop)
            trace.follow_recorder(recorder)
        return Trainer(job, data, schedule, loop, recorder, stack.pop_all().close)


def start_server(
    job: Job, optimizer: SGD, start: Checkpoint, pool: WorkerPool, servers: Servers | None = None
) -> ParameterServer:
    """Start the server at the position of a checkpoint, and publish each version that later steps will read.

    servers: those that have the weights; None: this process has them. Raises ConfigError if they cannot update them.
    """
    if servers is not None and not optimizer.plain:
        raise ConfigError(
            f"{type(optimizer).__name__} keeps arrays between steps, which several servers do not: use one"
        )
    versions = range(start.step - len(start.earlier), start.step + 1)
    for version, weights in zip(versions, [*start.earlier, start.weights], strict=True):
        buffer = pool.reserve_weights(versions)
        if servers is None:
            buffer.flat[:] = weights.flat
        else:
            servers.load(version, weights)
        pool.publish_weights(version)
    bound, in_order = job.config.bound, not job.config.asynchronous
    if servers is not None:
        return Coordinator(servers, pool.weights, optimizer, start.step, bound=bound, in_order=in_order)
    note = pool.note_update if optimizer.plain else None
    return ParameterServer(optimizer, start.step, pool.weights[start.step], bound=bound, in_order=in_order, note=note)
