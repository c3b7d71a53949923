"""The worker: a pure function of the plan's rows, with the same bits for a subtree as for its leaves."""

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import read_idx
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.epoch_order import EpochOrder
from ddmlp.plan.plan import Plan
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_audit import RowAudit, all_rows
from ddmlp.plan.row_stats import row_hash_sum
from ddmlp.training.messages import Unit
from ddmlp.training.worker import Worker
from tests.support.trees import tree_sum
from tests.support.units import microbatch_rows

SHAPE = Shape(784, 12, 10)
PLAN = Plan(rows=4_000, batch=170, microbatch=24, epochs=2, seed=5, block=1_000, window=2_000)
SHORT = 23  # the last step of an epoch, 90 rows: microbatches of 24, 24, 24 and 18


@pytest.fixture
def worker(data):
    return Worker(Dataset(data / "train"), PLAN, SHAPE)


@pytest.fixture(scope="module")
def weights():
    return Weights.draw(SHAPE, 2)


def compute(worker, weights, step, node):
    out = Weights(SHAPE, np.full(SHAPE.size, np.nan, np.float32))
    row_stats = worker.compute(Unit(step, step, node), weights, out)
    return out.flat, *row_stats


def same(one, other):
    return (one[0].tobytes(), *one[1:]) == (other[0].tobytes(), *other[1:])


def test_simple(worker, weights):
    flat, rows, _, error, mistakes, steepest = compute(worker, weights, 0, Node(0, 1))
    assert np.isfinite(flat).all()
    assert np.any(flat)
    assert rows == PLAN.microbatch
    assert 0 < mistakes <= PLAN.microbatch
    assert error / PLAN.microbatch == pytest.approx(np.log(10), rel=0.5)
    assert 0 < steepest < 1


def test_computed_twice(worker, weights):
    """A unit computed twice gives the same bits."""
    first = compute(worker, weights, 3, Node(0, 8))
    other = compute(worker, weights, SHORT, Node(2, 4))
    assert not same(first, other)
    assert same(compute(worker, weights, 3, Node(0, 8)), first)


@pytest.mark.parametrize(("step", "root"), [(0, Node(0, 8)), (SHORT, Node(0, 4)), (24 + SHORT, Node(0, 4))])
def test_sum_of_a_node(data, worker, weights, step, root):
    """The gradient of a node is the sum of its leaves along the tree."""
    assert PLAN.microbatches(step) == root.hi
    other = Worker(Dataset(data / "train"), PLAN, SHAPE)
    leaves = [compute(other, weights, step, Node(index, index + 1)) for index in range(root.hi)]
    nodes = [root, *root.children()]
    for node in nodes:
        flat, rows, sums, *rest = tree_sum(leaves[node.lo : node.hi])
        assert same(compute(worker, weights, step, node), (flat, rows, sums % 2**64, *rest))


@pytest.mark.parametrize(("step", "index", "rows"), [(0, 0, 24), (7, 7, 2), (SHORT, 3, 18), (24, 1, 24)])
def test_rows_of_the_plan(sample, worker, weights, step, index, rows):
    begin = step % 24 * PLAN.batch + index * PLAN.microbatch
    places = EpochOrder(4_000, 1_000, 2_000, seed=5, epoch=step // 24)[begin : begin + rows]
    pixels = read_idx(sample / "train-images-idx3-ubyte.gz")[places].reshape(rows, 784)
    labels = read_idx(sample / "train-labels-idx1-ubyte.gz")[places]
    out = Weights(SHAPE)
    row_stats = rows, row_hash_sum(places), *Network(SHAPE, rows).gradient(weights, pixels, labels, out)
    assert same(compute(worker, weights, step, Node(index, index + 1)), (out.flat, *row_stats))


def test_row_stats(sample, worker, weights):
    rows = np.concatenate([microbatch_rows(PLAN, SHORT, index) for index in range(4)])
    pixels = read_idx(sample / "train-images-idx3-ubyte.gz")[rows].reshape(90, 784)
    labels = read_idx(sample / "train-labels-idx1-ubyte.gz")[rows]
    y2 = Network(SHAPE).recognise(weights, pixels).probabilities
    _, count, sums, error, mistakes, steepest = compute(worker, weights, SHORT, Node(0, 4))
    assert (count, sums) == (90, row_hash_sum(rows))
    assert error == pytest.approx(-np.log(y2[np.arange(90), labels].astype(np.float64)).sum(), rel=1e-5)
    assert mistakes == np.count_nonzero(y2.argmax(axis=1) != labels) > 0
    y1 = 1 / (1 + np.exp(-(pixels / 255 @ weights.w1)))
    slopes = ((y2 - np.eye(10)[labels]) @ weights.w2.T) * y1 * (1 - y1)
    assert steepest == pytest.approx(abs(slopes).max(), rel=1e-4)


def test_rows_of_an_epoch(worker, weights):
    """The row audit of its units passes."""
    audit, out = RowAudit(), Weights(SHAPE)
    for step in range(PLAN.steps_per_epoch, PLAN.steps):
        for node in PLAN.units_for(step, (1,) * 3):
            audit.record_step(worker.compute(Unit(step, step, node), weights, out))
    audit.verify("epoch 2", all_rows(0, 4_000))


def test_weights_are_unchanged(worker, weights):
    before = weights.sha256()
    compute(worker, weights, 0, Node(0, 8))
    assert weights.sha256() == before


def test_large_microbatch(data, weights):
    """A microbatch may be larger than the batch."""
    plan = Plan(rows=4_000, batch=10, microbatch=2**24, epochs=1, seed=0, block=1_000, window=4_000)
    flat, rows, _, _, mistakes, _ = compute(Worker(Dataset(data / "train"), plan, SHAPE), weights, 399, Node(0, 1))
    assert np.any(flat)
    assert 0 < mistakes <= rows == 10
