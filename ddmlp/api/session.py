"""A session of training: a run begins or continues, and trains until it has a result or is asked to stop."""

import signal
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from ddmlp.api.callback import Callback
from ddmlp.api.lag import LagMeter, measured_lag
from ddmlp.api.options import Options
from ddmlp.api.progress import RunProgress
from ddmlp.api.result import Result
from ddmlp.api.rows import RunRows, wait_for_rows
from ddmlp.api.run import hinting
from ddmlp.api.signals import StopRequests, stop_requests
from ddmlp.api.stored import backup_of
from ddmlp.api.trainer import open_trainer, prepare_job
from ddmlp.config import TrainConfig
from ddmlp.data.transform import Transform
from ddmlp.errors import ConfigError
from ddmlp.nn.weights import Weights
from ddmlp.runs.backup import Backup
from ddmlp.runs.events import Event
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.report import Report

if TYPE_CHECKING:
    from ddmlp.api.trainer import AnyTrainer
    from ddmlp.data.ingest import StreamIngest

ADVANCE_SECONDS = 0.2  # between looks at the progress and at requests to stop
RAY_JOB = "working_dir_files"  # of the path of a job's working directory, which is a copy of the user's


class Ending(NamedTuple):
    """step: the last one; result: None if the session was interrupted; trained: False if the run had already ended."""

    step: int
    result: Result | None
    trained: bool = True


@dataclass(frozen=True, kw_only=True)
class Session:
    """A run, and all that one call of `fit` or one command needs to train it.

    Parameters
    ----------
    run, rows, config, options
        The run's folder, its rows, its settings, and how it is computed.
    begun : Origin, optional
        What the run was begun with; None if it is new.
    init, transform
        The weights that a new run begins with, and what changes the pixels of its rows; or None.
    end : bool
        Mark the end of the rows that the run follows.
    callbacks, progress
        What receives the events, and what shows them.
    hint : callable
        Returns how to continue the run, in words.
    """

    run: Run
    rows: RunRows
    config: TrainConfig
    options: Options
    begun: Origin | None = None
    transform: Transform | None = None
    init: Weights | None = None
    end: bool = False
    callbacks: Sequence[Callback] = ()
    progress: RunProgress
    hint: Callable[[], str]

    def train(self, signals: Collection[int] = (signal.SIGINT,)) -> Ending:
        """Train to the end, or until one of these signals arrives; then a checkpoint is written.

        SIGTERM is the end of a run that follows a dataset, which has no other. Raises KeyboardInterrupt for a signal
        before the training has begun, and for a second one.
        """
        if self.options.of_streams and not self.rows.streamed:
            raise ConfigError(f"quarantine and spool_bytes go with a stream, but the data are {self.rows.folder}")
        if self.options.drift_alarm and not self.config.follow:
            raise ConfigError("drift_alarm goes with a run that trains once on each row: a stream, or with follow")
        if self.rows.ready and not self.config.follow:
            self._prepare()  # before anything is written
        run, progress = self.run, self.progress
        with ExitStack() as stack:
            stack.enter_context(run)
            stack.enter_context(progress)
            for callback in self.callbacks:
                callback.stopped = False
                stack.callback(callback.close)
            stop = stack.enter_context(stop_requests(signals))
            if self.begun is None:
                run.refuse_old()
            backup = stack.enter_context(backup_of(run, self.options, self.begun))
            if self.begun and (result := self._ended()):
                self._store(backup, result.steps)
                progress.note("the run has already ended")
                return Ending(result.steps, result, trained=False)
            if RAY_JOB in run.path.parts:
                progress.note(f"note: Ray deletes {run.path} some time after this job; choose a folder elsewhere")
            if self.init:
                run.write_initial_weights(self.init)
            if self.end:
                self._mark_end()
            ingest = stack.enter_context(self.rows.supplied(run, self.config.batch, self.options, progress.note))
            if self.config.follow:
                wait_for_rows(self.rows.folder, ingest, self.options.idle_timeout, progress.wait)
            report = self._train(stop, ingest, backup)
            self._store(backup, report.step)
            if report.result is None:
                return Ending(report.step, None)
            result = Result(run.path, backup.added_to(report.result) if backup else report.result)
            for callback in self.callbacks:
                callback.on_end(result)
            return Ending(report.step, result)

    def complete(self, *, report: bool) -> Result:
        """Train to the end; raises KeyboardInterrupt, with a hint, if the session was interrupted.

        report: write one into the run's folder, if there was anything to train.
        """
        step, result, trained = self.train()
        if result is None:
            stopped = f"interrupted after step {step}"
            self.progress.note(f"{stopped}; {self.hint()}")
            error = KeyboardInterrupt(stopped)
            error.add_note(self.hint())
            raise error
        if report and trained:
            result.write_report()
        return result

    def _ended(self) -> Result | None:
        """The result of a run that has nothing left to train."""
        found = self.run.result()
        if found and found.finished and (self.config.follow or found.epochs >= self.config.epochs):
            return Result(self.run.path, found)
        return None

    def _prepare(self) -> tuple[Job, Origin]:
        at, begun, init, transform = self.rows.folder, self.begun is not None, self.init, self.transform
        return prepare_job(self.config, at, self.run, self.options, resume=begun, init=init, transform=transform)

    def _mark_end(self) -> None:
        from ddmlp.data.ingest import mark_end

        if not self.config.follow:
            raise ConfigError(f"end goes with a run that follows its data: {self.rows.folder} is complete")
        mark_end(self.rows.folder / "train")

    def _train(self, stop: StopRequests, ingest: "StreamIngest | None", backup: Backup | None) -> Report:
        """Open the trainer and train; returns the last report."""
        options, run = self.options, self.run
        job, origin = self._prepare()
        opened = open_trainer(
            job, address=options.address, dashboard=options.dashboard, note=self.progress.note, stopping=stop.signals
        )
        with hinting(run, self.hint), opened as trainer, measured_lag(run, ingest) as lag:
            if self.begun:
                self.progress.note(f"resuming after step {trainer.step}")
                if self.config != self.begun.config:
                    run.extend(origin)
            else:
                run.create(origin, self.transform.text if self.transform else "")
            stop.note()
            for callback in self.callbacks:
                callback.on_begin(run.path, self.config)
            report = self._advance(trainer, stop, ingest, lag, backup)
            if report.result is not None:
                run.write_result(report.result)  # before Ray is left, which takes a while
        return report

    def _advance(
        self,
        trainer: "AnyTrainer",
        stop: StopRequests,
        ingest: "StreamIngest | None",
        lag: LagMeter,
        backup: Backup | None,
    ) -> Report:
        """Train until the end, a signal, a callback's stop, or an error of the ingest, which is raised once all rows
        that have arrived are safe."""
        while True:
            report = lag.added_to(trainer.advance(ADVANCE_SECONDS))
            self._record(report.events)
            if ingest:
                ingest.trained = report.rows
            if backup:
                backup.see(report.events)
                self._record_stored(backup, report.step)
            if report.done:
                self.progress.show(report)
                return report
            failed = ingest is not None and ingest.error is not None
            if stop.signals or failed:
                if ingest:
                    ingest.stop()
                if self.config.follow and not failed and stop.signals[0] == signal.SIGTERM:
                    return self._end(trainer)
                trainer.checkpoint()  # before anything is shown: the terminal may be gone
                if ingest and not stop.signals:
                    ingest.raise_error()
                return report
            self.progress.show(report)
            if any(callback.stopped for callback in self.callbacks):
                if ingest:
                    ingest.stop()
                return self._end(trainer)

    def _end(self, trainer: "AnyTrainer") -> Report:
        report = trainer.end()
        self._record(report.events)
        return report

    def _store(self, backup: Backup | None, step: int) -> None:
        """Wait, within limits, until the newest checkpoint is in the store."""
        if backup:
            backup.finish(self.options.timeouts.store)
            self._record_stored(backup, step)

    def _record_stored(self, backup: Backup, step: int) -> None:
        """Record what the backup has done up to this step."""
        for outcome in backup.outcomes():
            self._record([structs.replace(outcome, step=step)])
            if outcome.error:
                self.progress.note(f"warning: {outcome.error}")

    def _record(self, events: Iterable[Event]) -> None:
        """Write events to metrics.jsonl, and pass them to the callbacks."""
        events = list(events)
        self.run.record(events)
        for event in events:
            for callback in self.callbacks:
                callback.on_event(event)
