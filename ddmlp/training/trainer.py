"""The trainer: runs the step loop to the end of the plan, with checkpoints and tests between the steps."""

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

DRAIN_SECONDS = 1.0  # the longest single wait for an open step


class Trainer:
    """Trains from the run's newest checkpoint or its beginning, for a limited time per call.

    `training.setup` builds it. It runs in the process that owns the weights: this one, or the parameter server's.
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
        """release: closes everything that was opened for this trainer."""
        self._job, self._data, self._schedule = job, data, schedule
        self._loop, self._recorder, self._release = loop, recorder, release
        self._due = loop.step  # the next position at which something other than a step is due
        self._save_due = False

    @property
    def plan(self) -> Plan:
        """The plan for the training data so far."""
        return self._data.plan

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._loop.step

    def advance(self, seconds: float) -> Report:
        """Train for about this many seconds, or to the end. The time affects only when reports are made.

        The last checkpoint stays valid if an error is raised.

        Raises
        ------
        TrainingError
            If the weights would no longer be finite, or rows or gradients are missing or wrong.
        DataError
            If the data are damaged, or have changed.
        ClusterError
            If no worker is left, or none answers.
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
        """End the run at the current position: write a checkpoint and the model. The report has the result."""
        self.checkpoint()
        return self._recorder.report(self.step, self._recorder.finish(self.step, self._loop.weights))

    def checkpoint(self) -> Path:
        """Write a checkpoint of the position unless it has one. Returns the folder of the checkpoints.

        Raises DatasetError if a shard does not have its SHA-256: the steps since the last checkpoint may have read it.
        """
        while self._job.config.asynchronous and not self._loop.idle:  # only without open steps is a version a position
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
        """Whether the run is complete: at the end of the plan, or after too long a wait for rows."""
        return self._schedule.finished(self.plan, self.step) or self._data.idle > self._job.idle_timeout

    def _save(self, deadline: float) -> bool:
        """Write the checkpoint that is due once the data are verified. Returns False if that takes too long."""
        if not self._data.wait_until_verified(max(0.0, deadline - time.perf_counter())):
            return False
        self.checkpoint()
        return True

    def _advance_steps(self, deadline: float) -> bool:
        """Apply the next steps. Returns False if none is complete by `deadline`."""
        applied = self._loop.advance(self.plan, min(self._due, self._schedule.goal(self.plan)), deadline)
        if applied or not self._loop.idle:
            self._record(applied)
            return bool(applied)
        found = self._data.poll(self.step, deadline - time.perf_counter())
        self._recorder.start_clock()
        self._due = self.step
        if found:
            return True
        self._recorder.record_progress(self.step, last=True)  # so that a slow stream shows its progress, too
        return False

    def _record(self, applied: list[Applied]) -> None:
        """Record applied steps, and do what is due after them."""
        self._recorder.record_steps(applied)
        if applied and self.step >= self._due:
            self._after_step()

    def _after_step(self) -> None:
        """Record the progress, and end the epoch, if that is due. A checkpoint follows once the data are verified."""
        step, plan = self.step, self.plan
        self._recorder.record_progress(step, last=self._schedule.finished(plan, step))
        if step % plan.steps_per_epoch == 0:
            self._recorder.end_epoch(step, self._loop.weights)
        self._save_due = self._schedule.checkpoint_due(plan, step)
