"""The messages between the step loop, the workers and the parameter server: units and gradients."""

import hashlib
from typing import NamedTuple

from ddmlp.nn.weights import Floats
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats

CREDITS = 2  # unanswered units that a worker may hold: the one that it computes, and the next, so that it never waits


class Unit(NamedTuple):
    """The message "compute the gradients of `node` of `step` with the weights of `version`, and add them up".

    Computing a unit twice gives the same bits. A unit is its own key.

    >>> unit = Unit(step=512, version=512, node=Node(0, 2))
    >>> unit.microbatches, str(unit)
    (2, 'step 512, microbatches 0 to 1')
    """

    step: int
    version: int
    node: Node

    @property
    def microbatches(self) -> int:
        """The number of microbatches."""
        return self.node.hi - self.node.lo

    def __str__(self) -> str:
        return f"step {self.step}, microbatches {self.node.lo} to {self.node.hi - 1}"


class UnitTimes(NamedTuple):
    """When a worker began a unit, had found its rows, and had computed its gradient: seconds of its monotonic clock."""

    begun: float
    found: float
    computed: float


class Gradient(NamedTuple):
    """The answer to a unit.

    Parameters
    ----------
    unit : Unit
        The unit that was computed.
    flat : (shape.size,) float32
        dE/dW, summed over the unit's rows, as a flat buffer of `Weights`. It is valid until the next answer is taken.
    row_stats : RowStats
        The statistics of the rows.
    worker : int
        The worker that computed it.
    waited : float
        Seconds that the worker was idle before this unit.
    times : UnitTimes, optional
        When it did what, if the run has a trace.
    """

    unit: Unit
    flat: Floats
    row_stats: RowStats
    worker: int
    waited: float = 0.0
    times: UnitTimes | None = None

    def sha256(self) -> bytes:
        """The SHA-256 of everything that must not depend on the worker."""
        return hashlib.sha256(repr(self.row_stats).encode() + self.flat.tobytes()).digest()
