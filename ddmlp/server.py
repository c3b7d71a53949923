"""The parameter server: owns the weights and the position. A plain class, the same in this process and in an actor."""

import math

import numpy as np

from ddmlp.errors import TrainingError
from ddmlp.ledger import Tally
from ddmlp.network import Floats, Shape, Weights
from ddmlp.plan import Node
from ddmlp.queues import Gradient
from ddmlp.sgd import update


class ParameterServer:
    """Adds a step's gradients in the order of its reduction tree, whatever the order in which they arrive, and
    applies their sum. The version is the position: how many steps are applied.
    """

    def __init__(self, shape: Shape, version: int, weights: Weights) -> None:
        """Start at `version` with `weights`, which are not copied."""
        self.shape = shape
        self.version = version
        self.weights = weights
        self._free: list[Weights] = []
        self._partial: dict[Node, tuple[Weights, Tally]] = {}
        self._root = Node(0, 0)
        self._sum: tuple[Floats, Tally] | None = None

    def begin(self, microbatches: int) -> None:
        """Expect the gradients of the next step, which has this many microbatches."""
        self._root, self._sum = Node(0, microbatches), None

    @property
    def complete(self) -> bool:
        """Whether the step's sum is there, to be applied."""
        return self._sum is not None

    def receive(self, gradient: Gradient) -> None:
        """Add a gradient to the step's tree: its sum with its sibling's is its parent's, up to where one is missing."""
        unit = gradient.unit
        assert unit.step == self.version, f"a gradient of step {unit.step} for version {self.version}"
        node, flat, tally = unit.node, gradient.flat, gradient.tally
        held: Weights | None = None
        while node != self._root:
            parent, sibling = node.family(self._root)
            if sibling not in self._partial:
                break
            # a + b and b + a are the same bits, so the sum may go into the buffer of whichever came first.
            other, others = self._partial.pop(sibling)
            np.add(other.flat, flat, out=other.flat)
            if held is not None:
                self._free.append(held)
            held, flat = other, other.flat
            node, tally = parent, tally.plus(others)
        if node == self._root:
            self._sum = flat, tally
            if held is not None:
                self._free.append(held)
            return
        if held is None:
            held = self._free.pop() if self._free else Weights(self.shape)
            held.flat[:] = flat
        self._partial[node] = held, tally

    def apply(self, rate: float, into: Weights) -> Tally:
        """Make the next version, in `into`: dW = -rate * the step's sum, `rate` being alpha / B.

        Returns what is counted of the step's rows. Raises TrainingError where the weights would no longer be finite;
        the version before stays as it was.
        """
        assert self._sum is not None, "the step's sum is not complete"
        gradient, tally = self._sum
        with np.errstate(over="ignore", invalid="ignore"):
            update(self.weights.flat, gradient, rate, into.flat)
            finite = math.isfinite(tally.error) and math.isfinite(np.dot(into.flat, into.flat))
        if not finite:
            raise TrainingError(f"the weights are no longer finite after step {self.version}")
        self.version += 1
        self.weights = into
        return tally
