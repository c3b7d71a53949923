"""The messages between the plan, the workers and the parameter server."""

import hashlib
from typing import NamedTuple

from ddmlp.nn.weights import Floats
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats

CREDITS = 2  # units that one worker may hold unanswered: one to compute, and the next, so that it never waits for it


class Unit(NamedTuple):
    """The message "compute the microbatches of `node` of `step` with the weights of `version`, and add them".

    Pure: computing it twice gives the same bits. It is its own key.
    """

    step: int
    version: int
    node: Node

    @property
    def microbatches(self) -> int:
        return self.node.hi - self.node.lo

    def __str__(self) -> str:
        return f"step {self.step}, microbatches {self.node.lo} to {self.node.hi - 1}"


class Gradient(NamedTuple):
    """The answer to a unit: dE/dW summed over its rows, a flat buffer as that of `Weights`; what is counted of the
    rows; the worker, and how many seconds it had waited for the unit. The buffer is the reader's until the next answer
    is asked for.
    """

    unit: Unit
    flat: Floats
    row_stats: RowStats
    worker: int
    waited: float = 0.0

    def sha256(self) -> bytes:
        """A digest of all that must not depend on the worker."""
        return hashlib.sha256(repr(self.row_stats).encode() + self.flat.tobytes()).digest()
