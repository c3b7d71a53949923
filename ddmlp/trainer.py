"""The loop: the plan's units go out, their gradients come back, the parameter server applies them.

One loop for every mode: what differs, where the workers are, is behind the seam `Workers`. It runs where the weights
are: in this process, or in the parameter server's actor.
"""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from ddmlp.checkpoint import Checkpoint
from ddmlp.dataset import Dataset
from ddmlp.errors import RunError
from ddmlp.evaluate import Evaluation, evaluate
from ddmlp.job import Event, Job, Report
from ddmlp.metrics import Stretch
from ddmlp.network import Floats, Shape, Weights
from ddmlp.numerics import libraries, pin, versions
from ddmlp.plan import Plan
from ddmlp.queues import CREDITS, Gradient, Unit, UnitQueue
from ddmlp.run import Run
from ddmlp.server import ParameterServer

RECORDS_PER_EPOCH = 50  # progress lines in metrics.jsonl


class Workers(Protocol):
    """The seam between the loop and those who compute: in this process, or anywhere."""

    @property
    def buffers(self) -> Sequence[Floats]:
        """Where the parameter server is to keep its weights, so that the workers see them."""

    @property
    def count(self) -> int:
        """How many workers there are now."""

    def publish(self, version: int) -> None:
        """Let the workers see the weights of `version`, which stand in their buffer."""

    def exchange(self, queue: UnitQueue) -> Gradient:
        """Hand out units as far as the workers' credits go, and wait for an answer, bounded."""

    def close(self) -> None:
        """Let the workers go."""


class Trainer:
    """Trains from the run's newest checkpoint, or from the beginning, a stretch of time at each call."""

    def __init__(self, job: Job, connect: Callable[[Dataset, Plan, Shape], Workers]) -> None:
        pin()
        self._job, self._run = job, Run(job.run)
        self._train, self._test = Dataset(job.data / "train"), Dataset(job.data / "test")
        self.plan = job.plan(self._train.manifest)
        shape = job.shape(self._train.manifest)
        self._workers = connect(self._train, self.plan, shape)
        # What a checkpoint must have been computed from to be gone on with.
        self._origin = {"config": job.config.as_dict(), "dataset_sha256": self._train.manifest.sha256()}
        found, self.complaints = self._run.checkpoints.newest()
        if found:
            self._check_origin(found)
        self._seconds = found.about["train_seconds"] if found else 0.0
        start = found or Checkpoint(Weights.draw(shape, job.config.seed), 0, {})
        self._server = ParameterServer(shape, self._workers.buffers, start.step, start.weights)
        self._workers.publish(start.step)
        self._last = min(self.plan.steps, self.plan.steps if job.stop_after is None else job.stop_after)
        self._queue = UnitQueue(2 * CREDITS * max(1, job.workers))
        self._waited = 0.0  # seconds for answers
        self._saved = start.step if found else -1
        self._events: list[Event] = []
        self._evaluated: tuple[int, Evaluation] | None = None
        self._since_record, self._since_report = Stretch(), Stretch()
        # A flipped bit in a shard must not train silently: every byte is compared with its hash while the first steps
        # are computed, and none of them is kept before that has ended well.
        verifier = ThreadPoolExecutor(1, thread_name_prefix="verify")
        self._verified = [verifier.submit(dataset.verify) for dataset in (self._train, self._test)]
        verifier.shutdown(wait=False)

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._server.version

    @property
    def done(self) -> bool:
        return self.step >= self._last

    def advance(self, seconds: float) -> Report:
        """Train for about so many seconds, at least a step, or to the end. The clock moves nothing but the report.

        Raises TrainingError, DataError or ClusterError; the last checkpoint stands.
        """
        if self._saved < 0:
            self.checkpoint()
        deadline = time.perf_counter() + seconds
        while not self.done:
            self._step()
            if time.perf_counter() >= deadline:
                break
        return self._report()

    def checkpoint(self) -> Path:
        """Write a checkpoint of the position, unless it has one; returns its folder.

        Raises DatasetError where the data are not what the steps since the last checkpoint took them for.
        """
        if self._saved != self.step:
            if self.step > 0:
                self._check_data()
            about = {**self._origin, "train_seconds": self._seconds, "versions": versions()}
            self._run.checkpoints.save(Checkpoint(self._server.weights, self.step, about))
            self._saved = self.step
            self._events.append({"event": "checkpoint", "step": self.step})
        return self._run.checkpoints.folder

    def finish(self) -> dict[str, Any]:
        """Write the last checkpoint and the model; returns what the result says of them."""
        self._check_data()
        self.checkpoint()
        self._run.write_model(self._server.weights)
        found = self._evaluate()
        rows = self.plan.rows_before(self.step)
        return {
            "weights_sha256": self._server.weights.sha256(),
            "test_error": found.error,
            "test_cross_entropy": found.cross_entropy,
            "test_rows": found.rows,
            "image_shape": self._train.manifest.image_shape,
            "steps": self.step,
            "finished": self.step == self.plan.steps,
            "rows": rows,
            "epochs": self.plan.epoch(self.step),
            "train_seconds": self._seconds,
            "rows_per_second": rows / self._seconds if self._seconds else 0.0,
            "dataset_sha256": self._origin["dataset_sha256"],
            "versions": versions(),
        }

    def close(self) -> None:
        self._workers.close()

    def _step(self) -> None:
        """Compute and apply one step."""
        start = time.perf_counter()
        step, queue, server = self.step, self._queue, self._server
        server.begin(self.plan.microbatches(step))
        for node in self.plan.units(step, self._workers.count):
            while queue.full:
                self._receive()
            queue.put(Unit(step, step, node))
        while not server.complete:
            self._receive()
        rate = self._job.config.learning_rate(step, self.plan.steps)
        error, mistakes = server.apply(rate / self._job.config.batch)
        self._workers.publish(server.version)
        seconds = time.perf_counter() - start
        self._seconds += seconds
        rows = self.plan.rows_before(self.step) - self.plan.rows_before(step)
        for stretch in (self._since_record, self._since_report):
            stretch.add(rows, error, mistakes, seconds)
        self._after_step()

    def _receive(self) -> None:
        start = time.perf_counter()
        gradient = self._workers.exchange(self._queue)
        self._waited += time.perf_counter() - start
        if self._queue.answered(gradient.unit):
            self._server.receive(gradient)

    def _after_step(self) -> None:
        """What the position asks for: a line of metrics, a test, a checkpoint."""
        in_epoch = self.step % self.plan.steps_per_epoch
        if in_epoch % math.ceil(self.plan.steps_per_epoch / RECORDS_PER_EPOCH) == 0 or self.done:
            self._record()
        if in_epoch == 0:
            found = self._evaluate()
            self._events.append(
                {
                    "event": "epoch",
                    "step": self.step,
                    "epoch": self.plan.epoch(self.step),
                    "test_error": found.error,
                    "test_cross_entropy": found.cross_entropy,
                    "seconds": self._seconds,
                }
            )
        if in_epoch == 0 or self.step % self._job.checkpoint_every == 0:
            self.checkpoint()

    def _record(self) -> None:
        stretch, self._since_record = self._since_record, Stretch()
        self._events.append(
            {
                "event": "progress",
                "step": self.step,
                "epoch": self.step / self.plan.steps_per_epoch,
                "rows": self.plan.rows_before(self.step),
                "error": stretch.error,
                "mistakes": stretch.mistaken,
                "rows_per_second": stretch.speed,
                "seconds": self._seconds,
                "workers": self._workers.count,
                "queue": {"high_water": self._queue.high_water, "wait_seconds": self._waited},
            }
        )

    def _report(self) -> Report:
        stretch, self._since_report = self._since_report, Stretch()
        events, self._events = self._events, []
        return Report(
            step=self.step,
            steps=self.plan.steps,
            epoch=self.plan.epoch(self.step),
            error=stretch.error,
            rows_per_second=stretch.speed,
            depth=self._queue.high_water,
            workers=self._workers.count,
            events=events,
            done=self.done,
        )

    def _evaluate(self) -> Evaluation:
        """The test error at the position."""
        if self._evaluated is None or self._evaluated[0] != self.step:
            self._evaluated = self.step, evaluate(self._server.weights, self._test)
        return self._evaluated[1]

    def _check_origin(self, found: Checkpoint) -> None:
        """Raise RunError where a checkpoint is of another run; complain where another machine computed it."""
        for name, ours in self._origin.items():
            if found.about.get(name) != ours:
                raise RunError(f"{self._run.checkpoints.folder} has a checkpoint of another run: its {name} differs")
        theirs = found.about.get("versions", {})
        if other := {name: theirs.get(name) for name, ours in libraries().items() if theirs.get(name) != ours}:
            self.complaints.append(f"the checkpoint was computed with {other}: its last bits may not be those of here")

    def _check_data(self) -> None:
        """Wait until every shard is verified; raises DatasetError naming one that is not what its manifest says."""
        while self._verified:
            self._verified[0].result()
            self._verified.pop(0)
