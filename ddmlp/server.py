"""The parameter server: owns the weights and the position. A plain class, the same in this process and in an actor."""

import math
from collections.abc import Sequence

import numpy as np

from ddmlp.errors import TrainingError
from ddmlp.network import Floats, Shape, Weights
from ddmlp.plan import Node
from ddmlp.queues import Gradient
from ddmlp.sgd import update


class ParameterServer:
    """Adds a step's gradients in the order of its reduction tree, whatever the order in which they arrive, and
    applies their sum.

    Version v of the weights stands in buffer v modulo their number, so that a reader of version v is not disturbed
    while v + 1 is written. The version is the position: how many steps are applied.
    """

    def __init__(self, shape: Shape, buffers: Sequence[Floats], version: int, weights: Weights) -> None:
        """Start at `version` with a copy of `weights`, in `buffers`: two or more of shape (shape.size,)."""
        self.shape = shape
        self.version = version
        self._ring = [Weights(shape, buffer) for buffer in buffers]
        self._free: list[Weights] = []
        self._partial: dict[Node, tuple[Weights, float, int]] = {}
        self._root = Node(0, 0)
        self._sum: tuple[Floats, float, int] | None = None
        self.weights.flat[:] = weights.flat

    @property
    def weights(self) -> Weights:
        """The weights of the current version."""
        return self._ring[self.version % len(self._ring)]

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
        node, flat, error, mistakes = unit.node, gradient.flat, gradient.error, gradient.mistakes
        held: Weights | None = None
        while node != self._root:
            parent, sibling = node.family(self._root)
            if sibling not in self._partial:
                break
            # a + b and b + a are the same bits, so the sum may go into the buffer of whichever came first.
            other, other_error, other_mistakes = self._partial.pop(sibling)
            np.add(other.flat, flat, out=other.flat)
            if held is not None:
                self._free.append(held)
            held, flat = other, other.flat
            node, error, mistakes = parent, error + other_error, mistakes + other_mistakes
        if node == self._root:
            self._sum = flat, error, mistakes
            if held is not None:
                self._free.append(held)
            return
        if held is None:
            held = self._free.pop() if self._free else Weights(self.shape)
            held.flat[:] = flat
        self._partial[node] = held, error, mistakes

    def apply(self, rate: float) -> tuple[float, int]:
        """Make the next version: dW = -rate * the step's sum, `rate` being alpha / B.

        Returns the error E and the mistakes, summed over the step's rows. Raises TrainingError where the weights
        would no longer be finite; the version before stays as it was.
        """
        assert self._sum is not None, "the step's sum is not complete"
        gradient, error, mistakes = self._sum
        following = self._ring[(self.version + 1) % len(self._ring)].flat
        with np.errstate(over="ignore", invalid="ignore"):
            update(self.weights.flat, gradient, rate, following)
            finite = math.isfinite(error) and math.isfinite(np.dot(following, following))
        if not finite:
            raise TrainingError(
                f"the weights are no longer finite after step {self.version}: a smaller --lr may help; "
                "the last checkpoint is kept"
            )
        self.version += 1
        return error, mistakes
