"""Records metrics, checkpoints and test results as steps are applied."""

import logging
import math
import time
from pathlib import Path

from msgspec.structs import asdict, replace

from ddmlp.data.dataset import Dataset
from ddmlp.errors import TrainingError
from ddmlp.inference.evaluation import Evaluation, evaluate
from ddmlp.inference.saved_model import About
from ddmlp.nn.weights import Weights
from ddmlp.plan.plan import Update
from ddmlp.plan.row_audit import all_rows
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.checkpoint_manager import CheckpointManager, trained_on
from ddmlp.runs.measures import Staleness
from ddmlp.runs.result import RunResult, RunStaleness
from ddmlp.runs.run import Run
from ddmlp.runs.versions import versions
from ddmlp.training.job import Job
from ddmlp.training.loop import Applied, Loop
from ddmlp.training.metrics import Journal
from ddmlp.training.report import Report
from ddmlp.training.training_data import TrainingData

log = logging.getLogger(__name__)

MAX_PENDING = 256  # applied steps that are accounted for at a time


class Recorder:
    """Records a training from its newest checkpoint on.

    In its methods, a `step` is a position, and `weights` are those of that position: all steps before it are applied.
    """

    def __init__(
        self,
        job: Job,
        run: Run,
        data: TrainingData,
        loop: Loop,
        checkpoints: CheckpointManager,
    ) -> None:
        """Open the test data. Raises DatasetError if they are missing or damaged."""
        self._job, self._config, self._run, self._data = job, job.config, run, data
        self._loop, self._checkpoints = loop, checkpoints
        self._test = Dataset(job.test) if job.test else None
        if self._test:
            data.verify_too(self._test)
        start = checkpoints.start
        self._journal = Journal(
            self._config.follow, start.step, start.header, checkpoints.complaints, drift_alarm=job.drift_alarm
        )
        self._began = 0.0  # when work on the next step began, so without the time for a checkpoint or a test
        # The applied steps that are not accounted for yet, and the seconds that each took.
        self._applied: list[tuple[Update, RowStats, float]] = []
        self._evaluated: tuple[int, Evaluation] | None = None
        self._lost = 0  # the number of lost workers in reports so far

    @property
    def saved_step(self) -> int:
        """The position of the newest checkpoint; -1 if there is none."""
        return self._checkpoints.saved

    @property
    def checkpoint_folder(self) -> Path:
        """The folder of the checkpoints."""
        return self._run.checkpoints.folder

    def start_clock(self) -> None:
        """Note that work on the next step begins now: the time before belongs to no step."""
        self._began = time.perf_counter()

    def record_steps(self, applied: list[Applied]) -> None:
        """Record steps that were applied; work on the next step begins now."""
        now = time.perf_counter()
        self._applied += [(*each, (now - self._began) / len(applied)) for each in applied]
        self._began = now

    def next_due(self, step: int) -> int:
        """The next position after `step` at which `record_progress` is due, unless an epoch ends before."""
        return min(self._journal.next_record(step, self._data.plan), step + MAX_PENDING)

    def record_progress(self, step: int, *, last: bool) -> None:
        """Record the progress if that is due at this step, or if it is the last one."""
        self._account_for_steps(step)
        data, loop = self._data, self._loop
        of_stream = data.bad_rows, data.trained_to(step)
        self._journal.progress(step, data.plan, loop.stats, loop.waits, *of_stream, last=last)

    def end_epoch(self, step: int, weights: Weights) -> None:
        """Check the row audit of the epoch that ends at this step, and test the weights.

        Raises TrainingError if the rows applied are not those of the plan, each exactly once.
        """
        plan = self._data.plan
        epoch = plan.epoch(step)
        self._checkpoints.verify_rows(f"epoch {epoch}", all_rows(*plan.epoch_row_range(epoch - 1)))
        self._checkpoints.begin_epoch()
        if self._test:
            self._journal.epoch(step, plan, self._evaluate(self._test, step, weights))

    def save_checkpoint(self, snapshot: Checkpoint) -> None:
        """Write a checkpoint; snapshot: that of the step loop, without a header.

        Raises TrainingError if its weights are not finite: no checkpoint ever has such weights.
        """
        start, step = time.perf_counter(), snapshot.step
        if not snapshot.weights.finite:
            raise TrainingError(
                f"the weights of version {step} are not finite, although every gradient up to it was: so a worker "
                "computed wrong values; the last checkpoint is still valid"
            )
        self._account_for_steps(step)
        header = self._journal.header
        if self._config.follow:
            rows = self._data.plan.rows_before(step)
            header = replace(header, data=trained_on(self._data.dataset.manifest, rows))
        self._checkpoints.save(snapshot, header)
        seconds = time.perf_counter() - start
        self._journal.checkpoint(step, seconds, self._checkpoints.chain)
        log.info("checkpoint of step %d in %.3f s, chain %s...", step, seconds, self._checkpoints.chain[:16])

    def finish(self, step: int, weights: Weights) -> RunResult:
        """Write the model, and return the result.

        Raises TrainingError if the rows applied are not those of the plan, each exactly once.
        """
        plan, stats = self._data.plan, self._loop.stats
        self.record_progress(step, last=True)
        seconds, epoch, rows = self._journal.seconds, plan.epoch(step), plan.rows_before(step)
        self._checkpoints.verify_rows(f"epoch {epoch + 1}, up to step {step}", plan.epoch_rows(step))
        self._run.write_model(weights, About.of(self._data.dataset))
        found = self._evaluate(self._test, step, weights) if self._test else None
        return RunResult(
            weights_sha256=weights.sha256(),
            chain=self._checkpoints.chain,
            test_error=found.error if found else None,
            test_cross_entropy=found.cross_entropy if found else None,
            test_rows=found.rows if found else None,
            image_shape=self._data.dataset.manifest.image_shape,
            steps=step,
            finished=plan.ended and step == plan.steps,
            rows=rows,
            epochs=epoch,
            seconds=seconds,
            speed=rows / seconds if seconds else 0.0,
            staleness=RunStaleness(self._config.staleness, self._config.delay, **asdict(self._journal.staleness)),
            prequential=self._journal.prequential,
            dataset_sha256=self._checkpoints.origin["dataset_sha256"],
            answered=dict(stats.answered),
            reissued=stats.reissued,
            compared=stats.compared,
            versions=versions(),
            workers=self._job.workers,
            servers=self._job.servers,
            bad_rows=self._data.bad_rows,
            trained_to=self._data.trained_to(step),
            seed=self._config.seed,
        )

    def report(self, step: int, result: RunResult | None) -> Report:
        """Report what happened since the last report; result: that of `finish`, at the end."""
        plan, stats = self._data.plan, self._loop.stats
        self._account_for_steps(step)
        lost = stats.newest_lost[-(stats.lost - self._lost) :] if stats.lost > self._lost else []
        self._lost = stats.lost
        self._journal.lost(step, lost)
        stretch, events = self._journal.report()
        stale, prequential = Staleness.from_counts(stretch.staleness), self._journal.prequential
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
            prequential=prequential.error if prequential else math.nan,
            asynchronous=self._config.asynchronous,
            staleness=(stale.mean, stale.max),
            idle=self._data.idle,
            depth=stats.high_water,
            workers=stats.workers,
            overdue=stats.overdue,
            lost=lost,
            events=events,
            result=result,
            trained_to=self._data.trained_to(step),
        )

    def _account_for_steps(self, step: int) -> None:
        """Account for the applied steps, many at a time: a step's arithmetic evicts this code from the caches."""
        for version, (update, row_stats, seconds) in enumerate(self._applied, step - len(self._applied)):
            self._checkpoints.record_step(update, row_stats)
            self._journal.applied(row_stats, seconds, version - update.read)
        self._applied.clear()

    def _evaluate(self, test: Dataset, step: int, weights: Weights) -> Evaluation:
        """The test result at the position."""
        if self._evaluated is None or self._evaluated[0] != step:
            self._evaluated = step, evaluate(weights, test)
        return self._evaluated[1]
