"""A reduction: the gradients of one step, added along its tree."""

import numpy as np

from ddmlp.nn.weights import Floats, Indices, Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient


class BufferPool:
    """Buffers to be used again."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._free: list[Weights] = []

    def copy_of(self, flat: Floats) -> Weights:
        """A buffer with a copy of `flat`."""
        buffer = self._free.pop() if self._free else Weights(self._shape)
        buffer.flat[:] = flat
        return buffer

    def release(self, buffer: Weights) -> None:
        """Nobody uses the buffer any more."""
        self._free.append(buffer)


class Reduction:
    """The sum of a step's gradients, added in the order of its tree, whatever the order in which they arrive.

    read: the version of the weights that they are computed with.
    """

    def __init__(self, read: int, microbatches: int, pool: BufferPool) -> None:
        self.read = read
        self._root, self._pool = Node(0, microbatches), pool
        self._partial: dict[Node, tuple[Weights, RowStats]] = {}
        self._held: Weights | None = None  # the buffer of the sum, where it is ours
        self._sum: tuple[Floats, RowStats] | None = None
        self.live: Indices | None = None  # of the sum, where it is compact

    @property
    def complete(self) -> bool:
        """Whether the sum is there."""
        return self._sum is not None

    @property
    def sum(self) -> tuple[Floats, RowStats]:
        """The sum, and what is counted of the rows. It may lie in the buffer of the last answer: see `keep_sum`."""
        assert self._sum is not None, "the sum is not complete"
        return self._sum

    def add_gradient(self, gradient: Gradient) -> None:
        """Add a gradient: its sum with its sibling's is its parent's, up to where one is missing."""
        node, flat, row_stats = gradient.unit.node, gradient.flat, gradient.row_stats
        held: Weights | None = None
        if node == self._root:
            self.live = gradient.live
        elif gradient.live is not None:
            held = self._pool.copy_of(flat)
            held.live = gradient.live
            held.expand()
            flat = held.flat
        while node != self._root:
            parent, sibling = node.parent_and_sibling(self._root)
            if sibling not in self._partial:
                self._partial[node] = held or self._pool.copy_of(flat), row_stats
                return
            # a + b and b + a are the same bits, so the sum may go into the buffer of whichever came first.
            other, others = self._partial.pop(sibling)
            np.add(other.flat, flat, out=other.flat)
            if held is not None:
                self._pool.release(held)
            held, flat = other, other.flat
            node, row_stats = parent, row_stats.plus(others)
        self._held, self._sum = held, (flat, row_stats)

    def keep_sum(self) -> None:
        """Let the sum outlast the answer that completed it."""
        if self._held is None:
            flat, row_stats = self.sum
            self._held = self._pool.copy_of(flat)
            self._sum = self._held.flat, row_stats

    def release(self) -> None:
        """Nobody needs the sum any more."""
        if self._held is not None:
            self._pool.release(self._held)
            self._held = None
