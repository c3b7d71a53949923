"""The books that a run keeps while it trains: what its steps came to, and what is tested, saved and said of it."""

import time
from typing import Any

from ddmlp.data.dataset import Dataset
from ddmlp.inference.evaluation import Evaluation, evaluate
from ddmlp.nn.weights import Weights
from ddmlp.numerics import versions
from ddmlp.plan.plan import Update
from ddmlp.plan.row_audit import all_rows
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint_manager import CheckpointManager, trained_on
from ddmlp.runs.run import Origin, Run
from ddmlp.training.job import Job
from ddmlp.training.metrics import Journal, spread
from ddmlp.training.report import Report
from ddmlp.training.training_data import TrainingData
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.worker_pool import WorkerPool

ACCOUNTED = 256  # steps, at most, that are accounted for in one go


class Recorder:
    """Begins where the run's history does. A `step` is a position, with the weights that it has: all steps up to it are
    `applied`, in their order."""

    def __init__(self, job: Job, run: Run, feed: TrainingData, workers: WorkerPool, queue: UnitQueue) -> None:
        """Raises RunError where what is there is of another run, and DatasetError."""
        self._config, self._run, self._feed, self._workers, self._queue = job.config, run, feed, workers, queue
        self._test = Dataset(job.test) if job.test else None
        if self._test:
            feed.verify(self._test)
        data = feed.dataset.manifest
        self.history = CheckpointManager(run, Origin.from_manifest(job.config, job.data, data), data, job.keep)
        start = self.history.start
        self.journal = Journal(self._config.follow, start.step, start.about, self.history.complaints)
        self._began = 0.0  # when work began on what is applied next; after the end of an epoch a checkpoint comes first
        # The steps that are applied and not yet accounted for, and the seconds that each took.
        self._applied: list[tuple[Update, RowStats, float]] = []
        self._evaluated: tuple[int, Evaluation] | None = None

    def begin(self) -> None:
        """Work begins on what is applied next: the time before was no step's."""
        self._began = time.perf_counter()

    def applied(self, update: Update, tally: RowStats) -> None:
        """A step was applied, and work begins on the next."""
        now = time.perf_counter()
        self._applied.append((update, tally, now - self._began))
        self._began = now

    def next_due(self, step: int) -> int:
        """The first position behind `step` at which `note` is due, unless an epoch ends before."""
        return min(self.journal.next_record(step, self._feed.plan), step + ACCOUNTED)

    def note(self, step: int, *, last: bool) -> None:
        """Note how far it is, where that is due or the last."""
        self._account(step)
        self.journal.progress(step, self._feed.plan, self._workers, self._queue, last=last)

    def end_epoch(self, step: int, weights: Weights) -> None:
        """Check the ledger of the epoch that ends there, and test its weights. Raises TrainingError."""
        plan = self._feed.plan
        epoch = plan.epoch(step)
        self.history.check(f"epoch {epoch}", all_rows(*plan.span(epoch - 1)))
        self.history.begin_epoch()
        if self._test:
            self.journal.epoch(step, plan, self._evaluate(self._test, step, weights))

    def save(self, step: int, weights: Weights, earlier: list[Weights]) -> None:
        """Write the checkpoint; earlier: the weights of versions before, that steps to come read."""
        start = time.perf_counter()
        self._account(step)
        about = self.journal.about()
        if self._config.follow:
            about |= trained_on(self._feed.dataset.manifest, self._feed.plan.rows_before(step))
        self.history.save(weights, step, earlier, about)
        self.journal.checkpoint(step, time.perf_counter() - start, self.history.chain)

    def finish(self, step: int, weights: Weights) -> dict[str, Any]:
        """Write the model; returns what the result says of the run. Raises TrainingError where the ledger is wrong."""
        plan = self._feed.plan
        self.note(step, last=True)
        seconds, epoch, rows = self.journal.seconds, plan.epoch(step), plan.rows_before(step)
        self.history.check(f"epoch {epoch + 1}, up to step {step}", plan.epoch_rows(step))
        self._run.write_model(weights)
        return {
            "weights_sha256": weights.sha256(),
            "chain": self.history.chain,
            **(self._evaluate(self._test, step, weights).about() if self._test else {}),
            "image_shape": self._feed.dataset.manifest.image_shape,
            "steps": step,
            "finished": plan.ended and step == plan.steps,
            "rows": rows,
            "epochs": epoch,
            "train_seconds": seconds,
            "rows_per_second": rows / seconds if seconds else 0.0,
            "staleness": {"bound": self._config.staleness, "delay": self._config.delay, **self.journal.stale},
            **self.journal.tested_first,
            "dataset_sha256": self.history.origin["dataset_sha256"],
            "answered": self._workers.answered,
            "reissued": self._queue.reissued,
            "compared": self._queue.compared,
            "versions": versions(),
        }

    def report(self, step: int, result: dict[str, Any] | None) -> Report:
        """What there is to say since the last report; result: of `finish`, if this was the end."""
        plan = self._feed.plan
        self._account(step)
        stretch, events = self.journal.report()
        stale = spread(stretch.staleness)
        return Report(
            step=step,
            steps=plan.steps if plan.ended else None,
            epoch=plan.epoch(step),
            epochs=None if self._config.follow else self._config.epochs,
            rows=plan.rows_before(step),
            error=stretch.error,
            rows_per_second=stretch.speed,
            trained=stretch.rows,
            updates=dict(stretch.staleness),
            prequential=self.journal.prequential,
            asynchronous=self._config.asynchronous,
            staleness=(stale["mean"], stale["max"]),
            idle=self._feed.idle,
            depth=self._queue.high_water,
            workers=self._workers.count,
            hung=self._queue.hung(),
            events=events,
            result=result,
        )

    def _account(self, step: int) -> None:
        """Enter the steps that were applied since it was done last: in one go, because after a step's arithmetic
        nothing of this code is in the caches any more."""
        for version, (update, tally, seconds) in enumerate(self._applied, step - len(self._applied)):
            self.history.applied(update, tally)
            self.journal.applied(tally, seconds, version - update.read)
        self._applied.clear()

    def _evaluate(self, test: Dataset, step: int, weights: Weights) -> Evaluation:
        """The test error at the position."""
        if self._evaluated is None or self._evaluated[0] != step:
            self._evaluated = step, evaluate(weights, test)
        return self._evaluated[1]
