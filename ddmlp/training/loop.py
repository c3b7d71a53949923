"""The interface between the trainer and the loop that makes its steps."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ddmlp.nn.weights import Weights
from ddmlp.plan.plan import Plan, Update
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.worker_pool import PoolStats


@dataclass
class WaitTimes:
    """Seconds that the server has waited since the loop was built.

    Parameters
    ----------
    results : float
        For gradients; in one process, for its own arithmetic.
    full_queue : float
        The part of `results` during which the queue had no room for the next unit.
    """

    results: float = 0.0
    full_queue: float = 0.0


class Applied(NamedTuple):
    """A step that was applied: its update, and the statistics of its rows."""

    update: Update
    row_stats: RowStats


class Loop(Protocol):
    """Makes steps: `StepLoop` with workers, `LocalSteps` in this process."""

    waits: WaitTimes

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""

    @property
    def weights(self) -> Weights:
        """The newest version."""

    @property
    def idle(self) -> bool:
        """Whether no step is open: every step that was begun is applied."""

    @property
    def stats(self) -> PoolStats:
        """Counts of the workers and their units so far."""

    def snapshot(self) -> Checkpoint:
        """Everything that later steps depend on: a checkpoint without a header, whose arrays are not copied."""

    def advance(self, plan: Plan, upto: int, deadline: float) -> list[Applied]:
        """Apply the next steps, at most up to the position `upto`.

        Returns an empty list if none is open, or none is complete by `deadline`, a time of `time.perf_counter`. Raises
        TrainingError if the weights would no longer be finite.
        """
