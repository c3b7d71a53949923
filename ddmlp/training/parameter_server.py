"""The parameter server: owns the weights and applies the steps. A plain class, which a Ray actor also uses."""

from collections.abc import Callable

import numpy as np

from ddmlp.nn.optimizer import SGD
from ddmlp.nn.steps import is_finite
from ddmlp.nn.weights import Floats, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient
from ddmlp.training.reduction import BufferPool, Reduction


class ParameterServer:
    """Adds the gradients of the open steps, and applies complete steps: each makes the next version.

    Parameters
    ----------
    optimizer : SGD
        Updates the weights.
    version : int
        The version to start at.
    weights : Weights
        The weights of that version, which are not copied.
    bound : float
        The maximum staleness of a gradient when it is applied, in versions.
    in_order : bool
        Whether to apply steps in the order in which they were begun. If not, they are applied as they become complete;
        but a complete step is held back if applying it would make an older gradient exceed the bound.
    note : callable, optional
        Called with each update of the weights; see `WorkerPool.note_update`.
    """

    def __init__(
        self,
        optimizer: SGD,
        version: int,
        weights: Weights,
        *,
        bound: float = 0,
        in_order: bool = True,
        note: Callable[[Floats, Floats, float], object] | None = None,
    ) -> None:
        self.version = version
        self.weights = weights
        self._bound, self._in_order = bound, in_order
        self._optimizer, self._note = optimizer, note
        self._pool = BufferPool(weights.shape)
        self._open: dict[int, Reduction] = {}  # by step, in the order in which the steps were begun
        # The steps that were begun but not applied, in that order, with the version that each reads.
        self.open: dict[int, int] = {}

    def begin_step(self, step: int, read: int, microbatches: int) -> None:
        """Open a step of `microbatches` microbatches that reads the weights of version `read`."""
        assert step not in self._open, f"step {step} has begun already"
        self._open[step] = Reduction(read, Node(0, microbatches), self._pool)
        self.open[step] = read

    def receive(self, gradient: Gradient) -> None:
        """Add a gradient to the sum of its step, which must be open."""
        step = self._open[gradient.unit.step]
        assert gradient.unit.version == step.read, f"{gradient.unit} was to read version {step.read}"
        step.add_gradient(gradient)

    def ready_step(self) -> int | None:
        """The step to apply now; None if there is none. Call this before the next answer is taken."""
        complete = [step for step, each in self._open.items() if each.complete]
        for step in complete:
            if self._may_apply(step):
                return step
        for step in complete:
            self._open[step].keep_halves()
        return None

    def apply_step(self, step: int, step_size: float, into: Weights) -> RowStats:
        """Apply a step: compute the next version, dW = -step_size * the step's gradient.

        Parameters
        ----------
        step : int
            The step, which `ready_step` has returned.
        step_size : float
            alpha / B.
        into : Weights
            Receives the next version. It may be `weights` itself if no open step reads them.

        Returns
        -------
        RowStats
            The statistics of the step's rows.

        Raises
        ------
        FloatingPointError
            If the weights would no longer be finite; the current version stays as it was.
        AssertionError
            If `ready_step` does not allow the step.
        """
        chosen = self._open[step]
        if (staleness := self.version - chosen.read) > self._bound:
            raise AssertionError(
                f"the gradient of step {step} is {staleness} versions old, expected at most {self._bound:g}"
            )
        left, right, row_stats = chosen.halves
        if not is_finite(np.float32(step_size), row_stats.rows, row_stats.steepest):
            raise FloatingPointError(f"the gradient of step {step} is not finite, or too large")
        self._optimizer.update(self.weights, left, right, step_size, into)
        if self._note is not None:
            self._note(left, right, step_size)
        self._open.pop(step).release()
        del self.open[step]
        self.version += 1
        self.weights = into
        return row_stats

    def _may_apply(self, step: int) -> bool:
        """Whether all other open steps could still be applied within the bound afterwards, the oldest first."""
        if self._in_order:
            return next(iter(self._open)) == step
        others = [read for other, read in self.open.items() if other != step]
        return all(self.version + 1 + place - read <= self._bound for place, read in enumerate(others))
