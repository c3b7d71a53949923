"""Gradients of microbatches, and their expected sums along the reduction tree."""

import numpy as np
from hypothesis import strategies as st

from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient, Unit

SHAPE = Shape(3, 2, 2)


def nodes_under(node):
    """Every node of the tree of `node`, including itself."""
    yield node
    if not node.leaf:
        for child in node.children():
            yield from nodes_under(child)


def tree_sum(leaves):
    """Return the sum of the leaves along the tree: the left subtree has the largest power of two below their number."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while 2 * half < len(leaves):
        half *= 2
    pairs = list(zip(tree_sum(leaves[:half]), tree_sum(leaves[half:]), strict=True))
    return *(left + right for left, right in pairs[:-1]), max(pairs[-1])


def leaves_of(count, seed=0):
    """Return the gradient of each microbatch, and the five numbers of its row_stats.

    Magnitudes differ, so the order of the sums matters.
    """
    draw, (m, n, o) = np.random.default_rng(seed), SHAPE
    values = (draw.normal(size=(count, m * n + n * o)) * 10.0 ** draw.integers(-3, 4, (count, 1))).astype(np.float32)
    return [
        (
            Weights.from_values(SHAPE, values[index]).flat,
            1 + index % 3,
            int(draw.integers(2**63)),
            float(draw.normal()),
            int(draw.integers(9)),
            float(draw.random()),
        )
        for index in range(count)
    ]


def sum_of(leaves):
    """Return the sum of the gradients (SHAPE.size,), and its row_stats."""
    flat, rows, fingerprints, *rest = tree_sum(leaves)
    return flat, RowStats(rows, fingerprints % 2**64, *rest)


def answer(leaves, node, step=0, buffer=None):
    """Return the answer to the unit of a node; its gradient is written to `buffer`, by default a new array."""
    flat, row_stats = sum_of(leaves[node.lo : node.hi])
    if buffer is None:
        buffer = np.empty_like(flat)
    buffer[:] = flat
    return Gradient(Unit(step, step, node), buffer, row_stats, worker=0)


@st.composite
def cuts(draw, most=20):
    """Draw a number of microbatches, and nodes of their tree that together cover it, in any order."""
    waiting, nodes = [Node(0, count := draw(st.integers(1, most)))], []
    while waiting:
        node = waiting.pop()
        if node.leaf or draw(st.booleans()):
            nodes.append(node)
        else:
            waiting.extend(node.children())
    return count, draw(st.permutations(nodes))
