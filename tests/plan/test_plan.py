"""The plan: every row once per epoch, and one reduction tree, however it is cut into units."""

import heapq

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.plan.epoch_order import EpochOrder
from ddmlp.plan.plan import Plan
from ddmlp.plan.reduction_tree import Node
from tests.support.trees import nodes_under
from tests.support.units import microbatch_rows


@st.composite
def plans(draw):
    rows = draw(st.integers(1, 200))
    batch = draw(st.one_of(st.just(rows), st.integers(1, rows)))
    return Plan(
        rows=rows,
        batch=batch,
        microbatch=draw(st.integers(1, 2 * batch)),
        epochs=draw(st.integers(1, 3)),
        seed=draw(st.integers(0, 2**64 - 1)),
        block=draw(st.integers(1, 50)),
        window=draw(st.integers(1, 300)),
    )


def rows_of(plan, step):
    return [microbatch_rows(plan, step, index).tolist() for index in range(plan.microbatches(step))]


def busiest(sizes, workers):
    """The largest load of any worker if each size goes to the worker with the smallest load so far."""
    loads = [0] * workers
    for size in sizes:
        heapq.heapreplace(loads, loads[0] + size)
    return max(loads)


def test_simple():
    plan = Plan(rows=10, batch=4, microbatch=3, epochs=2, seed=0, block=5, window=10)
    assert (plan.steps_per_epoch, plan.steps) == (3, 6)
    assert [plan.microbatches(step) for step in range(6)] == [2, 2, 1, 2, 2, 1]
    assert [plan.rows_before(step) for step in range(7)] == [0, 4, 8, 10, 14, 18, 20]
    assert [plan.epoch(step) for step in range(6)] == [0, 0, 0, 1, 1, 1]
    assert [len(rows) for rows in rows_of(plan, 0)] == [3, 1]
    assert [sum(map(len, plan.epoch_rows(step))) for step in range(7)] == [0, 4, 8, 0, 4, 8, 0]
    assert Node(0, 6).children() == (Node(0, 4), Node(4, 6))
    assert Node(4, 5).parent_and_sibling(Node(0, 6)) == (Node(4, 6), Node(5, 6))
    assert list(Node(0, 6).split(2)) == [Node(0, 2), Node(2, 4), Node(4, 6)]


@given(plans())
@example(Plan(rows=1, batch=1, microbatch=1, epochs=3, seed=0, block=1, window=1))
@example(Plan(rows=7, batch=7, microbatch=2, epochs=2, seed=1, block=3, window=3))
@example(Plan(rows=101, batch=10, microbatch=4, epochs=2, seed=1, block=9, window=30))
def test_every_row_once(plan):
    """Each epoch visits every row exactly once."""
    for epoch in range(plan.epochs):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        assert {plan.epoch(step) for step in steps} == {epoch}
        visited = [row for step in steps for rows in rows_of(plan, step) for row in rows]
        assert sorted(visited) == list(range(plan.rows))


@given(plans())
def test_rows_in_epoch_order(plan):
    orders = [EpochOrder(plan.rows, plan.block, plan.window, plan.seed, epoch) for epoch in range(plan.epochs)]
    wholes = [order[0 : plan.rows].tolist() for order in orders]
    for step in range(plan.steps):
        order = wholes[step // plan.steps_per_epoch]
        start = step % plan.steps_per_epoch * plan.batch
        batch = order[start : start + plan.batch]
        expected = [batch[begin : begin + plan.microbatch] for begin in range(0, len(batch), plan.microbatch)]
        assert rows_of(plan, step) == expected


@given(plans())
def test_rows_before(plan):
    counts = [sum(len(rows) for rows in rows_of(plan, step)) for step in range(plan.steps)]
    assert min(counts) > 0
    assert [plan.rows_before(step) for step in range(plan.steps + 1)] == [0, *np.cumsum(counts).tolist()]
    assert plan.rows_before(plan.steps) == plan.rows * plan.epochs


@given(plans())
@example(Plan(rows=101, batch=10, microbatch=4, epochs=2, seed=1, block=9, window=30))
def test_epoch_rows(plan):
    """They are the rows of the epoch's steps so far."""
    so_far = []
    for step in range(plan.steps):
        if step % plan.steps_per_epoch == 0:
            so_far = []
        parts = [part.tolist() for part in plan.epoch_rows(step)]
        assert [row for part in parts for row in part] == so_far
        assert all(0 < len(part) <= max(plan.window, plan.batch) for part in parts)
        so_far += [row for rows in rows_of(plan, step) for row in rows]
    assert list(plan.epoch_rows(plan.steps)) == [], "the epoch after the last one has no rows yet"


@given(plans(), st.randoms(use_true_random=False))
def test_rows_in_any_order(plan, random):
    """The rows of a microbatch do not depend on earlier calls."""
    places = [(step, index) for step in range(plan.steps) for index in range(plan.microbatches(step))]
    expected = {place: microbatch_rows(plan, *place).tolist() for place in places}
    again = Plan(plan.rows, plan.batch, plan.microbatch, plan.epochs, plan.seed, plan.block, plan.window)
    random.shuffle(places)
    assert {place: microbatch_rows(again, *place).tolist() for place in places} == expected


def test_epochs_and_seeds_differ():
    plans = [Plan(50, 50, 50, 3, seed, 10, 50) for seed in (0, 1)]
    assert len({tuple(microbatch_rows(plan, step, 0)) for plan in plans for step in range(3)}) == 6


@given(plans(), st.integers(1, 70))
@example(Plan(rows=100, batch=96, microbatch=1, epochs=1, seed=0, block=10, window=100), 64)
def test_units_cut_one_tree(plan, workers):
    """For any number of workers, the units are nodes of the same tree, and balance the load."""
    for step in range(plan.steps):
        root = Node(0, plan.microbatches(step))
        units = plan.units_for(step, (1,) * workers)
        assert [index for unit in units for index in range(unit.lo, unit.hi)] == list(range(root.hi))
        assert set(units) <= set(nodes_under(root))
        sizes = [unit.hi - unit.lo for unit in units]
        assert busiest(sizes, workers) <= busiest([1] * root.hi, workers)


@given(plans())
def test_one_worker_one_unit(plan):
    for step in range(plan.steps):
        assert plan.units_for(step, (1,)) == (Node(0, plan.microbatches(step)),)


@given(st.integers(0, 1_000), st.integers(2, 300))
def test_children(lo, size):
    """A node is divided at the largest power of two."""
    left, right = Node(lo, lo + size).children()
    assert (left.lo, left.hi, right.hi) == (lo, right.lo, lo + size)
    half = left.hi - left.lo
    assert half.bit_count() == 1
    assert half < size <= 2 * half


@given(st.integers(1, 150))
def test_parent_and_sibling(size):
    """They are the inverse of `children`."""
    root = Node(0, size)
    leaves = 0
    for node in nodes_under(root):
        if node.leaf:
            leaves += 1
            continue
        left, right = node.children()
        assert left.parent_and_sibling(root) == (node, right)
        assert right.parent_and_sibling(root) == (node, left)
    assert leaves == size


@given(st.integers(1, 150), st.integers(1, 160))
def test_split(microbatches, size):
    """It gives the largest nodes that fit."""
    root = Node(0, microbatches)
    nodes = list(root.split(size))
    assert [index for node in nodes for index in range(node.lo, node.hi)] == list(range(microbatches))
    for node in nodes:
        assert node.hi - node.lo <= size
        parent = root if node == root else node.parent_and_sibling(root)[0]
        assert node == root or parent.hi - parent.lo > size
