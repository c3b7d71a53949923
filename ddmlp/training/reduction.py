"""A reduction: adds the gradients of one step, or of a node of its reduction tree, along that tree."""

from typing import NamedTuple

import numpy as np

from ddmlp.nn.steps import add_gradient
from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient

NOTHING: Floats = np.empty(0, np.float32)


class BufferPool:
    """Buffers that are reused from step to step."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._free: list[Weights] = []

    def copy_of(self, flat: Floats) -> Weights:
        """A buffer with a copy of `flat`."""
        buffer = self._free.pop() if self._free else Weights(self._shape)
        buffer.flat[:] = flat
        return buffer

    def release(self, buffer: Weights) -> None:
        """Take back a buffer that is no longer used."""
        self._free.append(buffer)


class _Sum(NamedTuple):
    """The gradient of a node. kept: our buffer that holds it; None if it is in the buffer of the last answer."""

    flat: Floats
    row_stats: RowStats
    kept: Weights | None = None


class Reduction:
    """Adds the gradients of a step in the order of its tree, whatever the order of their arrival.

    The last addition, that of the root's two children, is left to the update of the weights.

    Parameters
    ----------
    read : int
        The version of the weights that the gradients are computed with.
    root : Node
        The node whose gradient is wanted: that of all microbatches of the step, or one in its tree.
    pool : BufferPool
        Provides buffers.
    """

    def __init__(self, read: int, root: Node, pool: BufferPool) -> None:
        self.read, self.root = read, root
        self._pool = pool
        self._halves = (root,) if root.leaf else root.children()
        self._sums: dict[Node, _Sum] = {}

    @property
    def complete(self) -> bool:
        """Whether all gradients have arrived."""
        return self.root in self._sums or all(half in self._sums for half in self._halves)

    @property
    def halves(self) -> tuple[Floats, Floats, RowStats]:
        """Two flat gradients whose sum is that of the root, and the statistics of its rows. The second may be empty.

        One of them may be in the buffer of the last answer: see `keep_halves`.
        """
        assert self.complete, "the sum is not complete"
        if (whole := self._sums.get(self.root)) is not None:
            return whole.flat, NOTHING, whole.row_stats
        left, right = (self._sums[half] for half in self._halves)
        return left.flat, right.flat, left.row_stats.plus(right.row_stats)

    def add_gradient(self, gradient: Gradient) -> None:
        """Add a gradient to its sibling's, which gives their parent's, and so on until a sibling is missing."""
        node, found = gradient.unit.node, _Sum(gradient.flat, gradient.row_stats)
        while node != self.root and node not in self._halves:
            parent, sibling = node.parent_and_sibling(self.root)
            if sibling not in self._sums:
                break
            # a + b and b + a are the same bits, so the sum may go into the buffer of whichever came first.
            other = self._sums.pop(sibling)
            add_gradient(other.flat, found.flat)
            self._release(found)
            node, found = parent, other._replace(row_stats=found.row_stats.plus(other.row_stats))
        self._sums[node] = found
        if not self.complete:
            self._keep(node)

    def keep_halves(self) -> None:
        """Copy what is in the buffer of the last answer, so that it stays valid when the next answer is taken."""
        for node in self._sums:
            self._keep(node)

    def release(self) -> None:
        """Give back the buffers of gradients that are no longer needed."""
        for each in self._sums.values():
            self._release(each)
        self._sums.clear()

    def _keep(self, node: Node) -> None:
        found = self._sums[node]
        if found.kept is None:
            buffer = self._pool.copy_of(found.flat)
            self._sums[node] = found._replace(flat=buffer.flat, kept=buffer)

    def _release(self, found: _Sum) -> None:
        if found.kept is not None:
            self._pool.release(found.kept)
