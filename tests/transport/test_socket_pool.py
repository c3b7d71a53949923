"""The pool's end of the message path: which worker gets which unit, the answers, and the time limits."""

import time

import pytest

from ddmlp.errors import ClusterError
from ddmlp.nn.weights import Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Unit
from tests.support.sockets import (
    PLAN,
    SECONDS,
    SHAPE,
    Training,
    admit,
    all_kinds,
    impatient,
    publish,
    work,
    worker,
)

TALLY = RowStats(8, 1, 0.5, 1, 0.25)


@all_kinds
def test_simple(pool, dataset, threads, kind):
    unit, weights = Unit(0, 0, Node(0, 4)), Weights.draw(SHAPE, PLAN.seed)
    publish(pool).flat[:] = weights.flat
    pool.submit(unit)
    threads.submit(work, pool.addresses[kind], dataset, 3)
    gradient, alone = pool.next_result(SECONDS), Weights(SHAPE)
    assert (gradient.unit, gradient.worker) == (unit, 3)
    assert gradient.row_stats == worker(dataset).compute(unit, weights, alone)
    assert gradient.flat.tobytes() == alone.flat.tobytes()
    assert (pool.count, pool.stats.answered) == (1, {3: 1})


def test_too_few_workers(pool, dataset):
    assert not pool.gather(1, 0.01)
    link = admit(pool, pool.addresses[0], dataset, 0)
    assert not pool.gather(2, 0.01)
    link.close()


def test_workers_join_later(pool, dataset, threads, expected):
    for index, address in enumerate(pool.addresses):
        threads.submit(work, address, dataset, index)
    assert pool.count == 0
    assert Training(pool, 2).run() == expected


def test_address_opened_later(pool, dataset, threads, expected):
    threads.submit(work, pool.addresses[0], dataset, 0)
    assert pool.gather(1, SECONDS)
    training = Training(pool, 2)
    training.run(to=PLAN.steps // 2)
    later = pool.listen(("127.0.0.1", 0))
    assert later not in pool.addresses
    threads.submit(work, later, dataset, 1)
    assert pool.gather(2, SECONDS)
    assert training.run() == expected
    assert pool.stats.answered[1] > 0


def test_no_answer_in_time(pool, dataset):
    """The next call takes it."""
    unit = Unit(0, 0, Node(0, 4))
    publish(pool)
    pool.submit(unit)
    assert pool.next_result(0) is None, "no worker is connected"
    link = admit(pool, pool.addresses[0], dataset, 0)
    assert pool.next_result(0) is None, "no worker has answered"
    assert next(link.units())[0] == unit
    link.gradient().flat[:] = 3
    link.answer(unit, TALLY)
    gradient = pool.next_result(SECONDS)
    assert (gradient.unit, gradient.row_stats, gradient.flat[-1]) == (unit, TALLY, 3)
    link.close()


@impatient(join=0.1)
def test_join_limit_after_hang(pool, dataset):
    """The time that a worker hung does not count as time without a worker."""
    publish(pool)
    pool.submit(Unit(0, 0, Node(0, 4)))
    link = admit(pool, pool.addresses[0], dataset, 0)
    assert pool.next_result(0.15) is None, "it holds the unit, and does not answer"
    link.close()
    assert pool.next_result(0.01) is None
    assert pool.count == 0
    with pytest.raises(ClusterError, match=r"no worker .* 0\.1 s"):
        pool.next_result(0.15)


@impatient(join=0.3)
def test_no_worker_left(pool, dataset):
    admit(pool, pool.addresses[0], dataset, 0).close()
    training = Training(pool, 1)
    with pytest.raises(ClusterError, match=r"no worker .* 0\.3 s"):
        training.run()
    assert pool.stats.answered == {}
    assert training.nothing > 0, "until then, no answer is no error"


@all_kinds
@impatient(answer=0.3)
def test_workers_never_answer(pool, dataset, kind):
    links = [admit(pool, pool.addresses[kind], dataset, index) for index in (5, 7)]
    training = Training(pool, 2)
    with pytest.raises(ClusterError, match=r"\[5, 7\] .* 0\.3 s"):
        training.run()
    assert training.nothing > 0
    for link in links:
        link.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_only_waiting_counts(pool, dataset, monkeypatch, workers):
    """An hour in which the pool tests the weights, or its machine sleeps, does not count as silence of the workers."""
    links = [admit(pool, pool.addresses[0], dataset, index) for index in range(workers)]
    publish(pool)
    pool.submit(Unit(0, 0, Node(0, 4)))
    clock, hours = time.monotonic, 0
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3_600 * hours)
    for hours in range(3):  # noqa: B007
        assert pool.next_result(0) is None
    assert pool._queue.overdue == workers, "the clock has moved"
    for link in links:
        link.close()
