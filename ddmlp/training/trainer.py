"""The loop: the plan's units go out, their gradients come back, the parameter server applies them.

One loop for every mode. `WorkerPool` hides where the workers are. The schedule says how many steps are open at a time,
and what they read; the server, in which order they are applied. The loop runs where the weights are: in this process,
or in the parameter server's actor.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.numerics import pin
from ddmlp.plan.plan import Plan, Update
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.messages import CREDITS, Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.recompute import culprit
from ddmlp.training.recorder import Recorder
from ddmlp.training.report import Report
from ddmlp.training.schedule import Schedule
from ddmlp.training.training_data import TrainingData
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.worker_pool import WorkerPool

DRAIN_SECONDS = 1.0  # at a time


class Trainer:
    """Trains from the run's newest checkpoint, or from the beginning, a stretch of time at each call."""

    def __init__(self, job: Job, connect: Callable[[Dataset, Plan, Shape], WorkerPool]) -> None:
        pin()
        self._job, self._config, run = job, job.config, Run(job.run)
        with ExitStack() as stack:
            run.begin_writing()
            stack.callback(run.end_writing)
            self._feed = TrainingData(job)
            stack.callback(self._feed.close)
            data = self._feed.dataset
            self._shape = job.shape(data.manifest)
            self._workers = connect(data, self.plan, self._shape)
            stack.callback(self._workers.close)
            self._queue = UnitQueue(2 * CREDITS * max(1, job.workers))
            self._books = Recorder(job, run, self._feed, self._workers, self._queue)
            self._closing = stack.pop_all()
        self._folder = run.checkpoints.folder
        start = self._books.history.start
        self._schedule = Schedule(job, start.step)
        self._versions: dict[int, Weights] = {}  # that are still read, and the newest
        self._server = self._begin(start)
        self._to_ask: deque[Unit] = deque()  # of the steps that are open, not yet in the queue
        self._due = start.step  # the position that asks next for something besides a step
        self._save_due = False

    @property
    def plan(self) -> Plan:
        return self._feed.plan

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._server.version

    def advance(self, seconds: float) -> Report:
        """Train for about so many seconds, or to the end. The clock moves nothing but the report.

        Raises TrainingError, DataError or ClusterError; the last checkpoint stands.
        """
        deadline = time.perf_counter() + seconds
        if not self._server.open:
            self._books.begin()
        if self._books.history.saved < 0:
            self.checkpoint()
        result = None
        with np.errstate(all="ignore"):  # the server looks whether the sums are finite
            while True:
                if self.step >= self._due:
                    over = self._over
                    if (over or self._save_due) and not self._saved(deadline):
                        break
                    if over:
                        result = self._books.finish(self.step, self._server.weights)
                        break
                    self._due = min(self._schedule.next_pause(self.plan, self.step), self._books.next_due(self.step))
                if not self._step(deadline) or time.perf_counter() >= deadline:
                    break
        return self._books.report(self.step, result)

    def end(self) -> Report:
        """Let this be the end: write a checkpoint and the model; the report has the result."""
        self.checkpoint()
        return self._books.report(self.step, self._books.finish(self.step, self._server.weights))

    def checkpoint(self) -> Path:
        """Write a checkpoint of the position, unless it has one; returns its folder.

        Raises DatasetError where the data are not what the steps since the last checkpoint took them for.
        """
        while self._config.asynchronous and self._server.open:  # only then is the version a position
            self._apply_next(time.perf_counter() + DRAIN_SECONDS)
        if self._books.history.saved != self.step:
            if self.step > 0:
                self._feed.verified()
            earlier = [self._versions[read] for read in self._schedule.reads(self.step)[:-1]]
            self._books.save(self.step, self._server.weights, earlier)
        self._save_due = False
        self._books.begin()
        return self._folder

    def close(self) -> None:
        self._closing.close()

    def _begin(self, start: Checkpoint) -> ParameterServer:
        """The server at the position of a checkpoint, and every version that steps to come read, for the workers."""
        for version, weights in enumerate([*start.earlier, start.weights], start.step - len(start.earlier)):
            self._versions[version] = self._workers.reserve(self._queue, self._versions)
            self._versions[version].flat[:] = weights.flat
            self._workers.publish(version)
        bound, in_order = self._config.bound, not self._config.asynchronous
        return ParameterServer(self._shape, start.step, self._versions[start.step], bound=bound, in_order=in_order)

    @property
    def _over(self) -> bool:
        """Whether this is the end."""
        return self._schedule.over(self.plan, self.step) or self._feed.idle > self._job.idle_timeout

    def _saved(self, deadline: float) -> bool:
        """Write the checkpoint that is due, once the data are verified; False where they are not in time."""
        if not self._feed.verified(max(0.0, deadline - time.perf_counter())):
            return False
        self.checkpoint()
        return True

    def _step(self, deadline: float) -> bool:
        """Begin the steps that may be begun, and apply one; False where none is complete in time."""
        server, plan = self._server, self.plan
        workers = self._workers
        parts = self._schedule.parts(min(workers.count - self._queue.overdue, workers.parallel))
        for step, read in self._schedule.begin(plan, server.version, len(server.open), workers.count):
            nodes = plan.units(step, parts)
            server.begin(step, read, nodes[-1].hi)
            self._to_ask += [Unit(step, read, node) for node in nodes]
        if server.open:
            return self._apply_next(deadline)
        found = self._feed.look(self.step, deadline - time.perf_counter())
        self._books.begin()
        self._due = self.step
        if found:
            return True
        self._books.note(self.step, last=True)  # who watches a slow stream wants to see all of what has come
        return False

    def _apply_next(self, deadline: float) -> bool:
        """Apply the next step that may be applied, of those that are open; False where there is none in time."""
        queue, server = self._queue, self._server
        while (step := server.ready()) is None:
            while self._to_ask and not queue.full:
                queue.put(self._to_ask.popleft())
            start = time.perf_counter()
            gradient = self._workers.exchange(queue, max(0.0, deadline - start))
            self._books.journal.exchanged(gradient, time.perf_counter() - start, blocked=bool(self._to_ask))
            if gradient is None:
                return False
            if queue.answered(gradient, time.monotonic()):
                server.receive(gradient)
        update = Update(step, server.open[step])
        self._books.applied(update, self._apply(update))
        if server.version >= self._due:
            self._after_step()
        return True

    def _apply(self, update: Update) -> RowStats:
        """Make the next version of the weights."""
        version, schedule = self.step, self._schedule
        rate = self._config.learning_rate(version, self.plan.steps, version - update.read)
        others = {read for step, read in self._server.open.items() if step != update.step}
        needed = {*others, *schedule.reads(version + 1)}
        weights = self._workers.reserve(self._queue, needed)
        try:
            tally = self._server.apply(update.step, rate / self._config.batch, weights)
        except TrainingError as error:
            found = culprit(self._feed.dataset, self.plan, update, self._versions[update.read])
            raise TrainingError(f"{error}: {found}; the last checkpoint is kept") from None
        self._workers.publish(version + 1)
        self._versions = {known: each for known, each in self._versions.items() if known in needed}
        self._versions[version + 1] = weights
        return tally

    def _after_step(self) -> None:
        """What the position asks for: a line of metrics, a check of the ledger, a test, a checkpoint."""
        step, plan = self.step, self.plan
        self._books.note(step, last=self._schedule.over(plan, step))
        if step % plan.steps_per_epoch == 0:
            self._books.end_epoch(step, self._server.weights)
        self._save_due = self._schedule.pauses(plan, step)
