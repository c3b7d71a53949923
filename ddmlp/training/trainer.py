"""The trainer: runs the step loop to the end of the plan, with what is due between the steps."""

import time
from collections.abc import Callable
from pathlib import Path

from ddmlp.plan.plan import Plan
from ddmlp.training.job import Job
from ddmlp.training.loop import Applied, Loop
from ddmlp.training.recorder import Recorder
from ddmlp.training.report import Report
from ddmlp.training.schedule import Schedule
from ddmlp.training.training_data import TrainingData

DRAIN_SECONDS = 1.0  # at a time


class Trainer:
    """Trains from the run's newest checkpoint, or from the beginning, for some time at each call.

    `training.setup` builds one. It runs in the process of the weights: this one, or the parameter server's.
    """

    def __init__(
        self,
        job: Job,
        data: TrainingData,
        schedule: Schedule,
        loop: Loop,
        recorder: Recorder,
        release: Callable[[], None],
    ) -> None:
        """release: closes what was opened for this trainer."""
        self._job, self._data, self._schedule = job, data, schedule
        self._loop, self._recorder, self._release = loop, recorder, release
        self._due = loop.step  # the position at which something besides a step is due next
        self._save_due = False

    @property
    def plan(self) -> Plan:
        """The plan, as far as the training data reach now."""
        return self._data.plan

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._loop.step

    def advance(self, seconds: float) -> Report:
        """Train for about so many seconds, or to the end. The clock changes nothing but the report.

        Raises TrainingError, DataError or ClusterError; the last checkpoint stays valid.
        """
        deadline = time.perf_counter() + seconds
        recorder, schedule = self._recorder, self._schedule
        if self._loop.idle:
            recorder.start_clock()
        if recorder.saved_step < 0:
            self.checkpoint()
        result = None
        while True:
            if self.step >= self._due:
                finished = self._finished
                if (finished or self._save_due) and not self._save(deadline):
                    break
                if finished:
                    result = recorder.finish(self.step, self._loop.weights)
                    break
                self._due = min(schedule.next_checkpoint(self.plan, self.step), recorder.next_due(self.step))
            if not self._advance_steps(deadline) or time.perf_counter() >= deadline:
                break
        return recorder.report(self.step, result)

    def end(self) -> Report:
        """End the run here: write a checkpoint and the model. The report has the result."""
        self.checkpoint()
        return self._recorder.report(self.step, self._recorder.finish(self.step, self._loop.weights))

    def checkpoint(self) -> Path:
        """Write a checkpoint of the position unless there is one; returns the folder of the checkpoints.

        Raises DatasetError if the data are not what the steps since the last checkpoint took them for.
        """
        while self._job.config.asynchronous and not self._loop.idle:  # only then is the version a position
            self._record(self._loop.advance(self.plan, self.step, time.perf_counter() + DRAIN_SECONDS))
        if self._recorder.saved_step != self.step:
            if self.step > 0:
                self._data.wait_until_verified()
            self._recorder.save_checkpoint(self._loop.snapshot())
        self._save_due = False
        self._recorder.start_clock()
        return self._recorder.checkpoint_folder

    def close(self) -> None:
        """Release the workers, the data and the run."""
        self._release()

    @property
    def _finished(self) -> bool:
        """Whether this is the end."""
        return self._schedule.finished(self.plan, self.step) or self._data.idle > self._job.idle_timeout

    def _save(self, deadline: float) -> bool:
        """Write the checkpoint that is due, once the data are verified; False if they are not in time."""
        if not self._data.wait_until_verified(max(0.0, deadline - time.perf_counter())):
            return False
        self.checkpoint()
        return True

    def _advance_steps(self, deadline: float) -> bool:
        """Apply the next steps; False if none is complete in time."""
        applied = self._loop.advance(self.plan, min(self._due, self._schedule.goal(self.plan)), deadline)
        if applied or not self._loop.idle:
            self._record(applied)
            return bool(applied)
        found = self._data.poll(self.step, deadline - time.perf_counter())
        self._recorder.start_clock()
        self._due = self.step
        if found:
            return True
        self._recorder.record_progress(self.step, last=True)  # for those who watch a slow stream
        return False

    def _record(self, applied: list[Applied]) -> None:
        """Record steps that were applied, and do what is due after them."""
        self._recorder.record_steps(applied)
        if applied and self.step >= self._due:
            self._after_step()

    def _after_step(self) -> None:
        """Do what is due at the position: record the progress, end the epoch. A checkpoint that is due is written when
        the data are verified."""
        step, plan = self.step, self.plan
        self._recorder.record_progress(step, last=self._schedule.finished(plan, step))
        if step % plan.steps_per_epoch == 0:
            self._recorder.end_epoch(step, self._loop.weights)
        self._save_due = self._schedule.checkpoint_due(plan, step)
