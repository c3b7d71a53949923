"""The interface between the trainer and what makes its steps."""

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

    results: for gradients, and in one process for its own arithmetic; full_queue: the part of it in which the queue had
    no room for the next unit.
    """

    results: float = 0.0
    full_queue: float = 0.0


class Applied(NamedTuple):
    """A step that was applied: the update, and what is counted of its rows."""

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
        """Whether no step is open: all that were begun are applied."""

    @property
    def stats(self) -> PoolStats:
        """What was counted of the workers so far."""

    def snapshot(self) -> Checkpoint:
        """All that the steps to come depend on: a checkpoint without a header, whose arrays are not copied."""

    def advance(self, plan: Plan, upto: int, deadline: float) -> list[Applied]:
        """Apply the next steps, at most to the position `upto`. None if there are none, or none is complete by
        `deadline`, a time of `time.perf_counter`. Raises TrainingError if the weights would not be finite."""
