"""The steps of a run in one process, many in one call of the kernels."""

import time
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.nn.network import Steps
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.steps import is_finite
from ddmlp.nn.weights import Weights
from ddmlp.plan.plan import Plan, Update
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.batch_reader import LOT, BatchReader
from ddmlp.training.loop import Applied, WaitTimes
from ddmlp.training.nonfinite import nonfinite_error
from ddmlp.training.pixel_stage import PixelStage
from ddmlp.training.reduction import NOTHING
from ddmlp.training.version_stack import VersionStack
from ddmlp.training.worker import network_for
from ddmlp.training.worker_pool import PoolStats

Counted = Iterable[tuple[float, int, float]]  # for each step made: E, mistakes, and the steepest slope


class LocalSteps:
    """Computes and applies the steps of a run, starting at a checkpoint. It is a `Loop`."""

    idle = True  # no step is open between two calls

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        plan: Plan,
        start: Checkpoint,
        updates: NDArray[np.int64] | None = None,
        stage: PixelStage | None = None,
    ) -> None:
        """Continue from `start`, whose weights are copied.

        updates (versions, 2), int64: the step that makes each version and the version that it reads, from the start of
        the run (see `UpdateLog`). By default, steps are made in the order of the plan, and the delay determines the
        versions that they read. stage: changes the pixels of the rows.
        """
        self.step = start.step
        self.waits = WaitTimes()
        self.optimizer = SGD(config, start.state)
        self._dataset, self._stage, self._delay, self._updates = dataset, stage, config.delay, updates
        self._reader = BatchReader(dataset, stage)
        self._network = network_for(plan, start.weights.shape)
        self._gradient = Weights(start.weights.shape)
        self._versions = VersionStack(start, config.delay, updates)
        self._made = 0

    @property
    def weights(self) -> Weights:
        """The newest version."""
        return self._versions[self.step]

    @property
    def stats(self) -> PoolStats:
        """Counts so far, in the form of a worker pool's."""
        return PoolStats(1, answered={0: self._made})

    def snapshot(self) -> Checkpoint:
        """Everything that later steps depend on: a checkpoint without a header, whose arrays are not copied."""
        earlier = tuple(self._versions[version] for version in range(max(0, self.step - self._delay), self.step))
        return Checkpoint(self.weights, self.step, earlier=earlier, state=self.optimizer.state)

    def advance(self, plan: Plan, upto: int, deadline: float = 0.0) -> list[Applied]:  # noqa: ARG002  # it never waits
        """Apply the next steps, at most up to the position `upto`: as many as one call of the kernels makes.

        It stops before a step that would leave weights that are not finite. Raises TrainingError if that is the first
        one or the transform of the run fails, and DatasetError if a shard is missing or damaged.
        """
        updates = self._next_updates(upto)
        if not updates:
            return []
        rows = self._reader.read_steps(plan, updates[0].step, len(updates))
        updates = updates[: len(rows.fingerprints)]
        rates = [
            self.optimizer.step_size(version, plan.steps, version - update.read)
            for version, update in enumerate(updates, self.step)
        ]
        slots = self._versions.slots(self.step, [update.read for update in updates])
        steps = Steps(rows.addresses, rows.labels, rows.bounds, np.array(rates, np.float32), slots)
        began = time.perf_counter()
        counted = [*(self._make(steps) if self.optimizer.plain else self._make_one_by_one(steps, rates))]
        self.waits.results += time.perf_counter() - began
        applied = [
            Applied(update, RowStats(count, fingerprints, *each))
            for update, count, fingerprints, each in zip(
                updates, np.diff(rows.bounds).tolist(), rows.fingerprints, counted, strict=False
            )
        ]
        if not applied:
            raise nonfinite_error(self._dataset, plan, updates[0], self._versions[updates[0].read], self._stage)
        self._versions.publish(self.step, slots[: len(applied)])
        self.step += len(applied)
        self._made += len(applied)
        return applied

    def _next_updates(self, upto: int) -> Sequence[Update]:
        """The next updates, at most up to the position `upto`, whose steps are consecutive and can be read together."""
        upto = min(upto, self.step + LOT)
        if self._updates is None:
            return [Update(step, max(0, step - self._delay)) for step in range(self.step, upto)]
        rest = self._updates[self.step : upto]
        count = int(np.argmin(np.append(np.diff(rest[:, 0]) == 1, False))) + 1
        return [Update(*each) for each in rest[:count].tolist()]

    def _make(self, steps: Steps) -> Counted:
        """Make steps in one call: fewer if one of them would leave weights that are not finite."""
        stats, done = self._network.train(steps, self._versions.buffers)
        return zip(
            stats.errors[:done].tolist(), stats.mistakes[:done].tolist(), stats.steepest[:done].tolist(), strict=True
        )

    def _make_one_by_one(self, steps: Steps, step_sizes: list[float]) -> Counted:
        """Make steps as `_make` does, but with the optimizer's own `update`."""
        shape, buffers = self._gradient.shape, self._versions.buffers
        for step, step_size in enumerate(step_sizes):
            begin, end = steps.bounds[step : step + 2]
            read, source, target = (Weights(shape, buffers[slot]) for slot in steps.slots[step])
            counted = self._network.gradient(read, steps.rows[begin:end], steps.labels[begin:end], self._gradient)
            if not is_finite(steps.rates[step], end - begin, counted[2]):
                return
            self.optimizer.update(source, self._gradient.flat, NOTHING, step_size, target)
            yield counted
