"""The parameter server: owns the weights and their version. A plain class, the same in this process and in an actor."""

import numpy as np

from ddmlp.nn.optimizer import SGD
from ddmlp.nn.steps import is_finite
from ddmlp.nn.weights import Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient
from ddmlp.training.reduction import BufferPool, Reduction


class ParameterServer:
    """Adds the gradients of the steps that are open, and applies complete ones: each makes the next version.

    In order, steps are applied in the order in which they were begun. Otherwise in that in which they are complete, but
    for what the bound forbids: no gradient is applied that is older than `bound` versions, so one that is complete may
    have to be held back until an older one has come.
    """

    def __init__(
        self, optimizer: SGD, version: int, weights: Weights, *, bound: float = 0, in_order: bool = True
    ) -> None:
        """Start at `version` with `weights`, which are not copied."""
        self.version = version
        self.weights = weights
        self._bound, self._in_order = bound, in_order
        self._optimizer = optimizer
        self._pool = BufferPool(weights.shape)
        self._open: dict[int, Reduction] = {}  # by step, in the order in which they were begun
        # The steps that were begun and not applied, in that order, and the version that each reads.
        self.open: dict[int, int] = {}

    def begin_step(self, step: int, read: int, microbatches: int) -> None:
        """Expect the gradients of a step, which has so many microbatches and reads the weights of version `read`."""
        assert step not in self._open, f"step {step} has begun already"
        self._open[step] = Reduction(read, microbatches, self._pool)
        self.open[step] = read

    def receive(self, gradient: Gradient) -> None:
        """Add a gradient to the sum of its step, which must be open."""
        step = self._open[gradient.unit.step]
        assert gradient.unit.version == step.read, f"{gradient.unit} was to read version {step.read}"
        step.add_gradient(gradient)

    def ready_step(self) -> int | None:
        """The step that is to be applied now, if there is one; to be asked before the next answer is taken."""
        complete = [step for step, each in self._open.items() if each.complete]
        for step in complete:
            if self._may_apply(step):
                return step
        for step in complete:
            self._open[step].keep_halves()
        return None

    def apply_step(self, step: int, step_size: float, into: Weights) -> RowStats:
        """Make the next version, in `into`: dW = -step_size * the step's sum; step_size: alpha / B. It may be `weights`
        itself, if nobody reads them any more.

        Returns what is counted of the step's rows. Raises FloatingPointError if the weights would no longer be finite;
        the version before stays as it was. AssertionError: `ready_step` did not allow it.
        """
        chosen = self._open[step]
        if (staleness := self.version - chosen.read) > self._bound:
            raise AssertionError(
                f"the gradient of step {step} is {staleness} versions old, and {self._bound:g} are allowed"
            )
        left, right, row_stats = chosen.halves
        if not is_finite(np.float32(step_size), row_stats.rows, row_stats.steepest):
            raise FloatingPointError(f"the gradient of step {step} is not finite, or too large")
        self._optimizer.update(self.weights, left, right, step_size, into)
        self._open.pop(step).release()
        del self.open[step]
        self.version += 1
        self.weights = into
        return row_stats

    def _may_apply(self, step: int) -> bool:
        """Whether all others that are open could still be applied within the bound, oldest first."""
        if self._in_order:
            return next(iter(self._open)) == step
        others = [read for other, read in self.open.items() if other != step]
        return all(self.version + 1 + place - read <= self._bound for place, read in enumerate(others))
