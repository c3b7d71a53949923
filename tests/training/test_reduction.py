"""Reductions: the tree's sum from any cut in any order, and no buffer that two of them hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.reduction import BufferPool, Reduction
from tests.support.helpers import tree_sum

SHAPE = Shape(3, 2, 2)


class Counting(BufferPool):
    """Counts the buffers that are out, and sees that each is given back once."""

    def __init__(self) -> None:
        super().__init__(SHAPE)
        self.out: list[Weights] = []

    def copy_of(self, flat):
        buffer = super().copy_of(flat)
        assert not any(buffer is other for other in self.out)
        self.out.append(buffer)
        return buffer

    def release(self, buffer):
        (place,) = [place for place, other in enumerate(self.out) if other is buffer]
        del self.out[place]
        super().release(buffer)


def leaves_of(count, seed=0):
    """The gradient of each microbatch, and the four numbers of its row_stats."""
    draw = np.random.default_rng(seed)
    flats = (draw.normal(size=(count, SHAPE.size)) * 10.0 ** draw.integers(-3, 4, (count, 1))).astype(np.float32)
    return [(flat, 1, int(draw.integers(2**63)), float(draw.normal()), int(draw.integers(9))) for flat in flats]


def answer(leaves, node, step=0, buffer=None):
    flat, rows, prints, error, mistakes = tree_sum(leaves[node.lo : node.hi])
    if buffer is not None:
        buffer[:] = flat
    row_stats = RowStats(rows, prints % 2**64, error, mistakes)
    return Gradient(Unit(step, 0, node), flat.copy() if buffer is None else buffer, row_stats, worker=0)


def due(leaves):
    """The sum that there must be, as bytes, and its row_stats."""
    flat, rows, prints, error, mistakes = tree_sum(leaves)
    return flat.tobytes(), RowStats(rows, prints % 2**64, error, mistakes)


def found(reduction):
    flat, row_stats = reduction.sum
    return flat.tobytes(), row_stats


@st.composite
def cuts(draw):
    """A number of microbatches, and a cut of their tree into nodes."""
    waiting, nodes = [Node(0, count := draw(st.integers(1, 12)))], []
    while waiting:
        node = waiting.pop()
        if node.leaf or draw(st.booleans()):
            nodes.append(node)
        else:
            waiting.extend(node.children())
    return count, nodes


def test_simple():
    leaves, pool = leaves_of(3), Counting()
    reduction = Reduction(5, 3, pool)
    assert reduction.read == 5
    for node in (Node(2, 3), Node(1, 2)):
        reduction.add_gradient(answer(leaves, node))
        assert not reduction.complete
    reduction.add_gradient(answer(leaves, Node(0, 1)))
    assert reduction.complete
    assert found(reduction) == due(leaves)
    reduction.release()
    assert pool.out == []


def test_a_sum_that_is_not_complete_is_none():
    reduction = Reduction(0, 2, Counting())
    reduction.add_gradient(answer(leaves_of(2), Node(1, 2)))
    with pytest.raises(AssertionError, match="not complete"):
        _ = reduction.sum


def test_an_answer_that_is_the_sum_is_not_copied_unless_it_is_to_be_kept():
    leaves, pool = leaves_of(4), Counting()
    whole = answer(leaves, Node(0, 4))
    reduction = Reduction(0, 4, pool)
    reduction.add_gradient(whole)
    assert reduction.sum[0] is whole.flat
    assert pool.out == []
    reduction.keep_sum()
    reduction.keep_sum()
    whole.flat[:] = np.nan
    assert found(reduction) == due(leaves)
    assert len(pool.out) == 1
    reduction.release()
    reduction.release()
    assert pool.out == []


@given(st.lists(cuts(), min_size=1, max_size=4), st.data())
def test_reductions_that_share_a_pool_and_one_buffer_of_answers_do_not_mix(steps, data):
    pool, buffer = Counting(), np.empty(SHAPE.size, np.float32)
    leaves = [leaves_of(count, seed) for seed, (count, _) in enumerate(steps)]
    reductions = [Reduction(0, count, pool) for count, _ in steps]
    waiting = data.draw(st.permutations([(step, node) for step, (_, nodes) in enumerate(steps) for node in nodes]))
    left = set(range(len(steps)))
    for step, node in waiting:
        reductions[step].add_gradient(answer(leaves[step], node, step, buffer))
        if reductions[step].complete:
            reductions[step].keep_sum()
        buffer[:] = np.nan
        for ready in [each for each in left if reductions[each].complete and data.draw(st.booleans())]:
            assert found(reductions[ready]) == due(leaves[ready])
            reductions[ready].release()
            left.remove(ready)
    for each in left:
        assert found(reductions[each]) == due(leaves[each])
        reductions[each].release()
    assert pool.out == []


def test_buffers_are_used_again():
    pool, seen = Counting(), set()
    for step in range(20):
        leaves = leaves_of(8, step)
        reduction = Reduction(0, 8, pool)
        for place in (0, 7, 3, 4, 1, 6, 2, 5):
            reduction.add_gradient(answer(leaves, Node(place, place + 1)))
            seen.update(map(id, pool.out))
        assert found(reduction) == due(leaves)
        reduction.release()
    assert len(seen) <= 4, "no more than half of the answers wait for their siblings"
