"""Reductions: the tree's sum from any units in any order, and no buffer shared by two reductions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.nn.weights import Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.training.reduction import BufferPool, Reduction
from tests.support.trees import SHAPE, answer, cuts, leaves_of, sum_of


class Counting(BufferPool):
    """Counts the buffers in use, and checks that each is released once."""

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


def found(reduction):
    """The sum of the halves, as bytes, and the row statistics."""
    left, right, row_stats = reduction.halves
    return (left + right if len(right) else left).tobytes(), row_stats


def expected(leaves):
    """The expected sum, as bytes, and the row statistics."""
    flat, row_stats = sum_of(leaves)
    return flat.tobytes(), row_stats


def test_simple():
    leaves, pool = leaves_of(3), Counting()
    reduction = Reduction(5, Node(0, 3), pool)
    assert reduction.read == 5
    for node in (Node(2, 3), Node(1, 2)):
        reduction.add_gradient(answer(leaves, node))
        assert not reduction.complete
    reduction.add_gradient(answer(leaves, Node(0, 1)))
    assert reduction.complete
    assert found(reduction) == expected(leaves)
    reduction.release()
    assert pool.out == []


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (1, 4, 0, 3, 2)])
def test_halves(order):
    """The halves are the sums of the root's children; one of them may be in the buffer of the last answer."""
    leaves, pool = leaves_of(5), Counting()
    reduction = Reduction(0, Node(0, 5), pool)
    answers = {index: answer(leaves, Node(index, index + 1)) for index in order}
    for index in order:
        assert not reduction.complete
        reduction.add_gradient(answers[index])
    expected = sum_of(leaves[:4])[0], sum_of(leaves[4:])[0]
    for _ in range(2):
        left, right, row_stats = reduction.halves
        assert (left.tobytes(), right.tobytes()) == tuple(half.tobytes() for half in expected)
        assert row_stats == sum_of(leaves)[1]
        reduction.keep_halves()
        answers[order[-1]].flat[:] = np.nan
    reduction.release()
    assert pool.out == []


@pytest.mark.parametrize("cut", [[Node(0, 1)], [Node(0, 2)]])
def test_single_answer(cut):
    leaves = leaves_of(cut[0].hi)
    reduction = Reduction(0, Node(0, len(leaves)), Counting())
    reduction.add_gradient(answer(leaves, cut[0]))
    assert len(reduction.halves[1]) == 0
    assert found(reduction) == expected(leaves)


def test_incomplete():
    reduction = Reduction(0, Node(0, 2), Counting())
    reduction.add_gradient(answer(leaves_of(2), Node(1, 2)))
    with pytest.raises(AssertionError, match="not complete"):
        _ = reduction.halves


def test_last_answer_not_copied():
    """Only `keep_halves` copies the last answer."""
    leaves, pool = leaves_of(4), Counting()
    whole = answer(leaves, Node(0, 4))
    reduction = Reduction(0, Node(0, 4), pool)
    reduction.add_gradient(whole)
    left, right, _ = reduction.halves
    assert (left is whole.flat, len(right)) == (True, 0)
    assert pool.out == []
    reduction.keep_halves()
    reduction.keep_halves()
    whole.flat[:] = np.nan
    assert found(reduction) == expected(leaves)
    assert len(pool.out) == 1
    reduction.release()
    reduction.release()
    assert pool.out == []


@given(st.lists(cuts(12), min_size=1, max_size=4), st.data())
def test_several_reductions(steps, data):
    """Reductions share a pool and the buffer of answers, but do not mix."""
    pool, buffer = Counting(), np.empty(SHAPE.size, np.float32)
    leaves = [leaves_of(count, seed) for seed, (count, _) in enumerate(steps)]
    reductions = [Reduction(0, Node(0, count), pool) for count, _ in steps]
    waiting = data.draw(st.permutations([(step, node) for step, (_, nodes) in enumerate(steps) for node in nodes]))
    left = set(range(len(steps)))
    for step, node in waiting:
        reductions[step].add_gradient(answer(leaves[step], node, step, buffer))
        if reductions[step].complete:
            reductions[step].keep_halves()
        buffer[:] = np.nan
        for ready in [each for each in left if reductions[each].complete and data.draw(st.booleans())]:
            assert found(reductions[ready]) == expected(leaves[ready])
            reductions[ready].release()
            left.remove(ready)
    for each in left:
        assert found(reductions[each]) == expected(leaves[each])
        reductions[each].release()
    assert pool.out == []


def test_buffers_are_reused():
    pool, seen = Counting(), set()
    for step in range(20):
        leaves = leaves_of(8, step)
        reduction = Reduction(0, Node(0, 8), pool)
        for place in (0, 7, 3, 4, 1, 6, 2, 5):
            reduction.add_gradient(answer(leaves, Node(place, place + 1)))
            seen.update(map(id, pool.out))
        assert found(reduction) == expected(leaves)
        reduction.release()
    assert len(seen) <= 4, "at most half of the answers wait for their siblings"
