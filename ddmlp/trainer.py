"""The loop: the plan's units go out, their gradients come back, the parameter server applies them.

One loop for every mode: where the workers are is behind the seam `Workers`; how many steps are open at a time, and what
they read, says the schedule; in which order they are applied, the server. It runs where the weights are: in this
process, or in the parameter server's actor.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.checkpoint import Checkpoint
from ddmlp.dataset import Dataset
from ddmlp.diagnosis import culprit
from ddmlp.errors import TrainingError
from ddmlp.evaluation import Evaluation, evaluate
from ddmlp.feed import Feed
from ddmlp.history import History, trained_on
from ddmlp.job import Job, Report
from ddmlp.ledger import Tally, all_rows
from ddmlp.metrics import Journal, spread
from ddmlp.network import Shape, Weights
from ddmlp.numerics import pin, versions
from ddmlp.plan import Plan
from ddmlp.queues import CREDITS, Unit, UnitQueue
from ddmlp.run import Run
from ddmlp.schedule import Schedule
from ddmlp.server import ParameterServer
from ddmlp.updates import Update
from ddmlp.workers import Workers

DRAIN_SECONDS = 1.0  # at a time
ACCOUNTED = 256  # steps, at most, that are accounted for in one go


class Trainer:
    """Trains from the run's newest checkpoint, or from the beginning, a stretch of time at each call."""

    def __init__(self, job: Job, connect: Callable[[Dataset, Plan, Shape], Workers]) -> None:
        pin()
        self._job, self._config, self._run = job, job.config, Run(job.run)
        with ExitStack() as stack:
            self._run.begin_writing()
            stack.callback(self._run.end_writing)
            self._feed = Feed(job)
            stack.callback(self._feed.close)
            data = self._feed.dataset
            self._test = Dataset(job.test) if job.test else None
            if self._test:
                self._feed.verify(self._test)
            self._history = History(self._run, job, data.manifest)
            self._shape = job.shape(data.manifest)
            self._workers = connect(data, self.plan, self._shape)
            stack.callback(self._workers.close)
            self._closing = stack.pop_all()
        start = self._history.start
        self._queue = UnitQueue(2 * CREDITS * max(1, job.workers))
        self._schedule = Schedule(job, start.step)
        self._journal = Journal(self._config.follow, start.step, start.about, self._history.complaints)
        self._versions: dict[int, Weights] = {}  # that are still read, and the newest
        self._server = self._begin(start)
        self._to_ask: deque[Unit] = deque()  # of the steps that are open, not yet in the queue
        self._began = 0.0  # when work began on what is applied next; after the end of an epoch a checkpoint comes first
        # The steps that are applied and not yet accounted for, and the seconds that each took.
        self._applied: list[tuple[Update, Tally, float]] = []
        self._due = start.step  # the position that asks next for something besides a step
        self._save_due = False
        self._evaluated: tuple[int, Evaluation] | None = None

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
        start = time.perf_counter()
        deadline = start + seconds
        if not self._server.open:
            self._began = start
        if self._history.saved < 0:
            self.checkpoint()
        result = None
        with np.errstate(all="ignore"):  # the server looks whether the sums are finite
            while True:
                if self.step >= self._due:
                    over = self._over
                    if (over or self._save_due) and not self._saved(deadline):
                        break
                    if over:
                        result = self._finish()
                        break
                    self._due = self._next_due()
                if not self._step(deadline) or time.perf_counter() >= deadline:
                    break
        return self._report(result)

    def end(self) -> Report:
        """Let this be the end: write a checkpoint and the model; the report has the result."""
        self.checkpoint()
        return self._report(self._finish())

    def checkpoint(self) -> Path:
        """Write a checkpoint of the position, unless it has one; returns its folder.

        Raises DatasetError where the data are not what the steps since the last checkpoint took them for.
        """
        while self._config.asynchronous and self._server.open:  # only then is the version a position
            self._apply_next(time.perf_counter() + DRAIN_SECONDS)
        if self._history.saved != self.step:
            if self.step > 0:
                self._feed.verified()
            start = time.perf_counter()
            self._account()
            about = self._journal.about()
            if self._config.follow:
                about |= trained_on(self._feed.dataset.manifest, self.plan.rows_before(self.step))
            earlier = [self._versions[read] for read in self._schedule.reads(self.step)[:-1]]
            self._history.save(self._server.weights, self.step, earlier, about)
            self._journal.checkpoint(self.step, time.perf_counter() - start, self._history.chain)
        self._save_due = False
        self._began = time.perf_counter()
        return self._run.checkpoints.folder

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
        self._began, self._due = time.perf_counter(), self.step
        if found:
            return True
        self._note_progress(last=True)  # who watches a slow stream wants to see all of what has come
        return False

    def _apply_next(self, deadline: float) -> bool:
        """Apply the next step that may be applied, of those that are open; False where there is none in time."""
        queue, server = self._queue, self._server
        while (step := server.ready()) is None:
            while self._to_ask and not queue.full:
                queue.put(self._to_ask.popleft())
            start = time.perf_counter()
            gradient = self._workers.exchange(queue, max(0.0, deadline - start))
            self._journal.exchanged(gradient, time.perf_counter() - start, blocked=bool(self._to_ask))
            if gradient is None:
                return False
            if queue.answered(gradient, time.monotonic()):
                server.receive(gradient)
        update = Update(step, server.open[step])
        tally = self._apply(update)
        now = time.perf_counter()
        self._applied.append((update, tally, now - self._began))
        self._began = now
        if server.version >= self._due:
            self._after_step()
        return True

    def _apply(self, update: Update) -> Tally:
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

    def _account(self) -> None:
        """Enter the steps that were applied since it was done last: in one go, because after a step's arithmetic
        nothing of this code is in the caches any more."""
        begin = self.step - len(self._applied)
        for version, (update, tally, seconds) in enumerate(self._applied, begin):
            self._history.applied(update, tally)
            self._journal.applied(tally, seconds, version - update.read)
        self._applied.clear()

    def _next_due(self) -> int:
        """The next position at which `_after_step` may find something, or it may be the end."""
        step, plan = self.step, self.plan
        return min(self._schedule.next_pause(plan, step), self._journal.next_record(step, plan), step + ACCOUNTED)

    def _after_step(self) -> None:
        """What the position asks for: a line of metrics, a check of the ledger, a test, a checkpoint."""
        step, plan = self.step, self.plan
        self._note_progress(last=self._schedule.over(plan, step))
        if step % plan.steps_per_epoch == 0:
            epoch = plan.epoch(step)
            self._history.check(f"epoch {epoch}", all_rows(*plan.span(epoch - 1)))
            self._history.begin_epoch()
            if self._test:
                self._journal.epoch(step, plan, self._evaluate(self._test))
        self._save_due = self._schedule.pauses(plan, step)

    def _note_progress(self, *, last: bool) -> None:
        self._account()
        self._journal.progress(self.step, self.plan, self._workers, self._queue, last=last)

    def _finish(self) -> dict[str, Any]:
        """Write the model; returns what the result says of the run."""
        step, plan = self.step, self.plan
        self._note_progress(last=True)
        seconds, epoch, rows = self._journal.seconds, plan.epoch(step), plan.rows_before(step)
        self._history.check(f"epoch {epoch + 1}, up to step {step}", plan.epoch_rows(step))
        self._run.write_model(self._server.weights)
        return {
            "weights_sha256": self._server.weights.sha256(),
            "chain": self._history.chain,
            **(self._evaluate(self._test).about() if self._test else {}),
            "image_shape": self._feed.dataset.manifest.image_shape,
            "steps": step,
            "finished": plan.ended and step == plan.steps,
            "rows": rows,
            "epochs": epoch,
            "train_seconds": seconds,
            "rows_per_second": rows / seconds if seconds else 0.0,
            "staleness": {"bound": self._config.staleness, "delay": self._config.delay, **self._journal.stale},
            **self._journal.tested_first,
            "dataset_sha256": self._history.origin["dataset_sha256"],
            "answered": self._workers.answered,
            "reissued": self._queue.reissued,
            "compared": self._queue.compared,
            "versions": versions(),
        }

    def _report(self, result: dict[str, Any] | None) -> Report:
        self._account()
        stretch, events = self._journal.report()
        stale = spread(stretch.staleness)
        return Report(
            step=self.step,
            steps=self.plan.steps if self.plan.ended else None,
            epoch=self.plan.epoch(self.step),
            epochs=None if self._config.follow else self._config.epochs,
            rows=self.plan.rows_before(self.step),
            error=stretch.error,
            rows_per_second=stretch.speed,
            trained=stretch.rows,
            updates=dict(stretch.staleness),
            prequential=self._journal.prequential,
            asynchronous=self._config.asynchronous,
            staleness=(stale["mean"], stale["max"]),
            idle=self._feed.idle,
            depth=self._queue.high_water,
            workers=self._workers.count,
            hung=self._queue.hung(),
            events=events,
            result=result,
        )

    def _evaluate(self, test: Dataset) -> Evaluation:
        """The test error at the position."""
        if self._evaluated is None or self._evaluated[0] != self.step:
            self._evaluated = self.step, evaluate(self._server.weights, test)
        return self._evaluated[1]
