"""The pool of one worker in this process: its queue, its counts, and the weights that it keeps."""

import pytest

from ddmlp.nn.weights import Shape
from ddmlp.plan.row_stats import RowStats
from tests.support.local_pool import CAPACITY, LocalWorkerPool
from tests.support.units import unit

SHAPE = Shape(3, 2, 2)


class Adding:
    """A stand-in for a worker: its gradient is the weights plus the number of the unit's first microbatch."""

    shape = SHAPE

    def compute(self, unit, weights, out):
        out.flat[:] = weights.flat + unit.node.lo
        return RowStats(unit.microbatches, unit.node.lo, 0.5, 1, 1.0)


@pytest.fixture
def pool():
    """A pool with version 0 of the weights, all zeros."""
    pool = LocalWorkerPool(Adding())
    publish(pool, 0)
    yield pool
    pool.close()


def publish(pool, version, keep=()):
    """Publish weights that all equal their version; returns them."""
    weights = pool.reserve_weights(keep)
    weights.flat[:] = version
    pool.publish_weights(version)
    return weights


def test_simple(pool):
    asked = unit(5, microbatches=2)
    pool.submit(asked)
    gradient = pool.next_result(0.0)
    assert (gradient.unit, gradient.worker, gradient.row_stats) == (asked, 0, RowStats(2, 5, 0.5, 1, 1.0))
    assert gradient.flat.tolist() == [5.0] * SHAPE.size
    assert (pool.connections, pool.capacities) == (1, (1,))


def test_bound(pool):
    for index in range(CAPACITY):
        assert not pool.full
        pool.submit(unit(index))
    assert pool.full
    pool.next_result()
    assert not pool.full


def test_order_of_units(pool):
    units = [unit(2, step=1), unit(0, step=2), unit(1, step=1)]
    for step in (1, 2):
        publish(pool, step, keep=[0, 1])
    for each in units:
        pool.submit(each)
    assert [pool.next_result().unit for _ in units] == units


def test_counts(pool):
    assert (pool.stats.workers, pool.stats.high_water, pool.stats.answered) == (1, 0, {0: 0})
    for index in range(3):
        pool.submit(unit(index))
    pool.next_result()
    pool.submit(unit(3))
    assert (pool.stats.depth, pool.stats.high_water, pool.stats.answered) == (3, 3, {0: 1})
    for _ in range(3):
        pool.next_result()
    pool.submit(unit(4))
    assert (pool.stats.depth, pool.stats.high_water, pool.stats.answered) == (1, 3, {0: 4})


def test_failed_unit(pool, monkeypatch):
    def fail(*_):
        raise OSError("disk")

    monkeypatch.setattr(Adding, "compute", fail)
    pool.submit(unit(0))
    with pytest.raises(OSError, match="disk"):
        pool.next_result()
    assert pool.stats.answered == {0: 0}


def test_weights_in_use(pool):
    for index in range(2):
        pool.submit(unit(index))
    publish(pool, 1)
    pool.submit(unit(7, step=1))
    publish(pool, 2)
    for first, version in [(0, 0), (1, 0), (7, 1)]:
        assert pool.next_result().flat.tolist() == [float(version + first)] * SHAPE.size


def test_weights_are_reused(pool):
    before = pool.weights[0]
    pool.submit(unit(0))
    assert publish(pool, 1) is not before, "a unit in the queue reads it"
    pool.next_result()
    newest = pool.weights[1]
    assert publish(pool, 2, keep=[0]) is newest, "no unit reads it any more"
    third = publish(pool, 3, keep=[0, 2])
    assert third is not before
    assert third is not newest
    assert (pool.weights[0].flat[0], pool.weights[2].flat[0]) == (0.0, 2.0)
