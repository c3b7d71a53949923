"""The loop: the plan's units go out, their gradients come back, the parameter server applies them.

One loop for every mode: what differs, where the workers are, is behind the seam `Workers`. It runs where the weights
are: in this process, or in the parameter server's actor.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.chain import Chain
from ddmlp.checkpoint import Checkpoint
from ddmlp.dataset import Dataset
from ddmlp.errors import RunError, TrainingError
from ddmlp.evaluate import Evaluation, evaluate
from ddmlp.job import Job, Report
from ddmlp.ledger import Ledger, all_rows
from ddmlp.metrics import Journal
from ddmlp.network import Shape, Weights
from ddmlp.numerics import libraries, pin, versions
from ddmlp.plan import Node, Plan
from ddmlp.queues import CREDITS, Unit, UnitQueue
from ddmlp.run import Origin, Run
from ddmlp.server import ParameterServer
from ddmlp.verification import Verification
from ddmlp.worker import Worker
from ddmlp.workers import Workers


class Trainer:
    """Trains from the run's newest checkpoint, or from the beginning, a stretch of time at each call."""

    def __init__(self, job: Job, connect: Callable[[Dataset, Plan, Shape], Workers]) -> None:
        pin()
        self._job, self._run = job, Run(job.run)
        self._run.begin_writing()
        self._train, self._test = Dataset(job.data / "train"), Dataset(job.data / "test")
        self.plan = job.plan(self._train.manifest)
        self._shape = job.shape(self._train.manifest)
        self._workers = connect(self._train, self.plan, self._shape)
        self._queue = UnitQueue(2 * CREDITS * max(1, job.workers))
        # What a checkpoint must have been computed from to be gone on with.
        self._origin = Origin(job.config, job.data, self._train.manifest.sha256()).fixed
        found, complaints = self._run.checkpoints.newest()
        if found:
            complaints += self._check_origin(found)
        self._chain = Chain(self._run.chain, self._origin)
        start = found or Checkpoint(Weights.draw(self._shape, job.config.seed), 0, {})
        if broken := self._chain.rewind(start.step, start.about.get("chain")):
            complaints.append(broken)
        self._journal = Journal(self.plan, start.step, start.about.get("train_seconds", 0.0), complaints)
        self._ledger = Ledger.of(found.about) if found else Ledger()
        weights = self._workers.reserve(self._queue)
        weights.flat[:] = start.weights.flat
        self._server = ParameterServer(self._shape, start.step, weights)
        self._workers.publish(start.step)
        self._last = min(self.plan.steps, self.plan.steps if job.stop_after is None else job.stop_after)
        self._to_ask: deque[Node] = deque()  # of the step, not yet in the queue
        self._began: float | None = None  # when the step did
        self._saved = start.step if found else -1
        self._save_due = False
        self._evaluated: tuple[int, Evaluation] | None = None
        self._verification = Verification([self._train, self._test])

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._server.version

    def advance(self, seconds: float) -> Report:
        """Train for about so many seconds, or to the end. The clock moves nothing but the report.

        Raises TrainingError, DataError or ClusterError; the last checkpoint stands.
        """
        deadline = time.perf_counter() + seconds
        if self._saved < 0:
            self.checkpoint()
        result = None
        while self._settle(deadline):
            if self.step >= self._last:
                result = self._finish()
                break
            if not self._step(deadline) or time.perf_counter() >= deadline:
                break
        return self._report(result)

    def checkpoint(self) -> Path:
        """Write a checkpoint of the position, unless it has one; returns its folder.

        Raises DatasetError where the data are not what the steps since the last checkpoint took them for.
        """
        if self._saved != self.step:
            if self.step > 0:
                self._verification.wait()
            start = time.perf_counter()
            digest = self._chain.append(self.step, self._server.weights.sha256())
            about = {
                **self._origin,
                "chain": digest,
                **self._ledger.about(),
                "train_seconds": self._journal.seconds,
                "versions": versions(),
            }
            self._run.checkpoints.save(Checkpoint(self._server.weights, self.step, about), self._job.keep)
            self._saved = self.step
            self._journal.checkpoint(self.step, time.perf_counter() - start, digest)
        self._save_due = False
        return self._run.checkpoints.folder

    def close(self) -> None:
        self._workers.close()
        self._run.end_writing()

    def _settle(self, deadline: float) -> bool:
        """Write the checkpoint that is due, once the data are verified; False where they are not in time."""
        if self._save_due or self.step >= self._last:
            if not self._verification.wait(max(0.0, deadline - time.perf_counter())):
                return False
            self.checkpoint()
        return True

    def _step(self, deadline: float) -> bool:
        """Compute and apply a step, or go on with the one begun; False where it is not complete in time."""
        step, queue, server = self.step, self._queue, self._server
        if self._began is None:
            self._began = time.perf_counter()
            server.begin(self.plan.microbatches(step))
            self._to_ask.extend(self.plan.units(step, max(1, self._workers.count - queue.overdue)))
        while not server.complete:
            while self._to_ask and not queue.full:
                queue.put(Unit(step, step, self._to_ask.popleft()))
            start = time.perf_counter()
            gradient = self._workers.exchange(queue, max(0.0, deadline - start))
            now = time.perf_counter()
            self._journal.waited += now - start
            if gradient is None:
                return False
            if queue.answered(gradient, time.monotonic()):
                server.receive(gradient)
        rate = self._job.config.learning_rate(step, self.plan.steps)
        try:
            tally = server.apply(rate / self._job.config.batch, self._workers.reserve(queue))
        except TrainingError as error:
            raise TrainingError(f"{error}: {self._culprit(step)}; the last checkpoint is kept") from None
        self._workers.publish(server.version)
        self._ledger.add(tally)
        self._journal.applied(tally, time.perf_counter() - self._began)
        self._began = None
        self._after_step()
        return True

    def _after_step(self) -> None:
        """What the position asks for: a line of metrics, a check of the ledger, a test, a checkpoint."""
        in_epoch = self.step % self.plan.steps_per_epoch
        self._journal.progress(self.step, self._workers.count, self._queue, last=self.step == self._last)
        if in_epoch == 0:
            self._ledger.check(f"epoch {self.plan.epoch(self.step)}", all_rows(self.plan.rows))
            self._ledger = Ledger()
            self._journal.epoch(self.step, self._evaluate())
        self._save_due = in_epoch == 0 or self.step % self._job.checkpoint_every == 0

    def _finish(self) -> dict[str, Any]:
        """Write the model; returns what the result says of it."""
        epoch = self.plan.epoch(self.step)
        self._ledger.check(f"epoch {epoch + 1}, up to step {self.step}", self.plan.epoch_rows(self.step))
        self._run.write_model(self._server.weights)
        found = self._evaluate()
        rows, seconds = self.plan.rows_before(self.step), self._journal.seconds
        return {
            "weights_sha256": self._server.weights.sha256(),
            "chain": self._chain.digest,
            "test_error": found.error,
            "test_cross_entropy": found.cross_entropy,
            "test_rows": found.rows,
            "image_shape": self._train.manifest.image_shape,
            "steps": self.step,
            "finished": self.step == self.plan.steps,
            "rows": rows,
            "epochs": epoch,
            "train_seconds": seconds,
            "rows_per_second": rows / seconds if seconds else 0.0,
            "dataset_sha256": self._origin["dataset_sha256"],
            "answered": self._workers.answered,
            "reissued": self._queue.reissued,
            "compared": self._queue.compared,
            "versions": versions(),
        }

    def _report(self, result: dict[str, Any] | None) -> Report:
        stretch, events = self._journal.report()
        return Report(
            step=self.step,
            steps=self.plan.steps,
            epoch=self.plan.epoch(self.step),
            error=stretch.error,
            rows_per_second=stretch.speed,
            depth=self._queue.high_water,
            workers=self._workers.count,
            hung=self._queue.hung(),
            events=events,
            result=result,
        )

    def _evaluate(self) -> Evaluation:
        """The test error at the position."""
        if self._evaluated is None or self._evaluated[0] != self.step:
            self._evaluated = self.step, evaluate(self._server.weights, self._test)
        return self._evaluated[1]

    def _culprit(self, step: int) -> str:
        """Which microbatch of `step` has a gradient that is not finite, in words; the weights are those before it."""
        worker, gradient = Worker(self._train, self.plan, self._shape), Weights(self._shape)
        with np.errstate(all="ignore"):
            for index in range(self.plan.microbatches(step)):
                tally = worker.compute(Unit(step, step, Node(index, index + 1)), self._server.weights, gradient)
                if not (math.isfinite(tally.error) and np.isfinite(gradient.flat).all()):
                    return f"the gradient of microbatch {index} is not finite; a smaller --lr may help"
        return (
            "computed again, its microbatches have finite gradients: so their sum or the update is too large, and a "
            "smaller --lr may help, or a worker has computed wrongly"
        )

    def _check_origin(self, found: Checkpoint) -> list[str]:
        """Raise RunError where a checkpoint is of another run; returns a complaint where another machine wrote it."""
        for name, ours in self._origin.items():
            if found.about.get(name) != ours:
                raise RunError(f"{self._run.checkpoints.folder} has a checkpoint of another run: its {name} differs")
        theirs = found.about.get("versions", {})
        other = {name: theirs.get(name) for name, ours in libraries().items() if theirs.get(name) != ours}
        return [f"the checkpoint was computed with {other}: its last bits may not be those of here"] if other else []
