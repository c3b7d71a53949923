"""The step loop: sends units to the workers, and has the parameter server apply the gradients that come back.

There is one loop for every mode. The worker pool hides where the workers are. The schedule decides which steps are open
and which weights they read; the server decides in which order they are applied. In one process, `LocalSteps` takes the
place of this loop.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ddmlp.errors import TrainingError
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Weights
from ddmlp.plan.plan import Plan, Update
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.loop import Applied, WaitTimes
from ddmlp.training.messages import Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.schedule import Schedule
from ddmlp.training.worker_pool import PoolStats, WorkerPool


class Versions(Protocol):
    """The weights of each version that may still be read."""

    def __getitem__(self, version: int) -> Weights: ...


# Makes the error that ends the run if a step that read these weights gives values that are not finite.
Diagnose = Callable[[Plan, Update, Weights], TrainingError]


class StepLoop:
    """Begins steps, has their units computed, and applies each step once its gradients have arrived."""

    def __init__(
        self,
        optimizer: SGD,
        schedule: Schedule,
        server: ParameterServer,
        pool: WorkerPool,
        diagnose: Diagnose,
        versions: Versions | None = None,
    ) -> None:
        """Continue at the server's version. The pool must have all versions that later steps will read.

        versions: their weights, if the pool does not have them.
        """
        self.waits = WaitTimes()
        self._optimizer, self._schedule, self._server, self._pool = optimizer, schedule, server, pool
        self._diagnose, self._versions = diagnose, pool.weights if versions is None else versions
        self._to_submit: deque[Unit] = deque()  # units of open steps that are not submitted yet

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._server.version

    @property
    def weights(self) -> Weights:
        """The newest version."""
        return self._versions[self.step]

    @property
    def stats(self) -> PoolStats:
        """The counts of the pool so far."""
        return self._pool.stats

    @property
    def idle(self) -> bool:
        """Whether no step is open: every step that was begun is applied."""
        return not self._server.open

    def snapshot(self) -> Checkpoint:
        """Everything that later steps depend on: a checkpoint without a header, whose arrays are not copied."""
        earlier = [self._versions[version] for version in self._schedule.versions_read(self.step)[:-1]]
        return Checkpoint(self.weights, self.step, earlier=tuple(earlier), state=self._optimizer.state)

    def advance(self, plan: Plan, upto: int, deadline: float) -> list[Applied]:
        """Begin the steps that may begin now, if the position is before `upto`, and apply one step.

        Returns an empty list if no step is open, or none is complete by `deadline`. Raises as `apply_next` does.
        """
        if self.step < upto:
            self.begin_steps(plan)
        applied = None if self.idle else self.apply_next(plan, deadline)
        return [applied] if applied else []

    def begin_steps(self, plan: Plan) -> None:
        """Begin the steps that may begin now."""
        server, pool = self._server, self._pool
        capacities = self._schedule.parts(pool.capacities)
        for step, read in self._schedule.steps_to_begin(plan, server.version, len(server.open), pool.connections):
            server.begin_step(step, read, plan.microbatches(step))
            self._to_submit += [Unit(step, read, node) for node in plan.units_for(step, capacities)]

    def apply_next(self, plan: Plan, deadline: float) -> Applied | None:
        """Apply the next open step that may be applied.

        Returns None if there is none by `deadline`, a time of `time.perf_counter`. Raises TrainingError if the weights
        would no longer be finite, and what the pool raises.
        """
        server, pool, waits = self._server, self._pool, self.waits
        while (step := server.ready_step()) is None:
            while self._to_submit and not pool.full:
                pool.submit(self._to_submit.popleft())
            start = time.perf_counter()
            gradient = pool.next_result(max(0.0, deadline - start))
            waited = time.perf_counter() - start
            waits.results += waited
            if self._to_submit:
                waits.full_queue += waited
            if gradient is None:
                return None
            server.receive(gradient)
        update = Update(step, server.open[step])
        return Applied(update, self._apply_step(plan, update))

    def _apply_step(self, plan: Plan, update: Update) -> RowStats:
        """Compute and publish the next version of the weights."""
        server, pool, version = self._server, self._pool, self._server.version
        step_size = self._optimizer.step_size(version, plan.steps, version - update.read)
        others = {read for step, read in server.open.items() if step != update.step}
        weights = pool.reserve_weights({*others, *self._schedule.versions_read(version + 1)})
        try:
            row_stats = server.apply_step(update.step, step_size, weights)
        except FloatingPointError:
            raise self._diagnose(plan, update, self._versions[update.read]) from None
        pool.publish_weights(version + 1)
        return row_stats
