"""The pool's end of the message path: who gets what, what comes back, and how long it waits."""

import json
import os
import signal
import time

import numpy as np
import pytest

from ddmlp.errors import ClusterError, DatasetError, DdmlpError
from ddmlp.nn.weights import Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import CREDITS, Unit
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol
from ddmlp.transport.client import run_worker
from tests.support import sockets
from tests.support.sockets import (
    PLAN,
    SECONDS,
    SHAPE,
    SPAWN,
    Training,
    admit,
    both_kinds,
    impatient,
    join,
    publish,
    work,
    worker,
)

dataset, expected, threads = sockets.dataset, sockets.expected, sockets.threads
start, timeouts, pool = sockets.start, sockets.timeouts, sockets.pool

TALLY = RowStats(8, 1, 0.5, 1)


class StuckWorker(Worker):
    """Says over a pipe which unit it holds, and never answers it."""

    def __init__(self, pipe, *arguments):
        super().__init__(*arguments)
        self.pipe = pipe

    def compute(self, unit, _weights, out):
        out.flat[:] = np.nan
        self.pipe.send(unit)
        self.pipe.recv()
        raise AssertionError("it was to be killed before")


def work_until_stuck(pipe, address, dataset, index):
    run_worker(StuckWorker(pipe, sockets.Dataset(dataset), PLAN, SHAPE), join(address, dataset, index))


@both_kinds
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


def test_gather_says_when_too_few_have_come(pool, dataset):
    assert not pool.gather(1, 0.01)
    link = admit(pool, pool.addresses[0], dataset, 0)
    assert not pool.gather(2, 0.01)
    link.close()


def test_workers_may_come_while_the_training_waits_for_them(pool, dataset, threads, expected):
    for index, address in enumerate(pool.addresses):
        threads.submit(work, address, dataset, index)
    assert pool.count == 0
    assert Training(pool, 2).run() == expected


def test_workers_may_come_at_an_address_that_was_opened_later(pool, dataset, threads, expected):
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


def test_exchange_says_when_no_answer_comes_in_time_and_the_next_one_takes_it(pool, dataset):
    unit = Unit(0, 0, Node(0, 4))
    publish(pool)
    pool.submit(unit)
    assert pool.next_result(0) is None, "nobody is there"
    link = admit(pool, pool.addresses[0], dataset, 0)
    assert pool.next_result(0) is None, "nobody has answered"
    assert next(link.units())[0] == unit
    link.gradient().flat[:] = 3
    link.answer(unit, TALLY)
    gradient = pool.next_result(SECONDS)
    assert (gradient.unit, gradient.row_stats, gradient.flat[-1]) == (unit, TALLY, 3)
    link.close()


@impatient(join=0.3)
def test_who_is_given_up_after_long_leaves_time_for_another_to_join(pool, dataset):
    """How long it was waited for a worker that hung does not count as time without any worker."""
    publish(pool)
    pool.submit(Unit(0, 0, Node(0, 4)))
    link = admit(pool, pool.addresses[0], dataset, 0)
    assert pool.next_result(0.4) is None, "it holds the unit, and does not answer"
    link.close()
    assert pool.next_result(0.01) is None
    assert pool.count == 0
    with pytest.raises(ClusterError, match=r"there has been no worker for 0.3 s"):
        pool.next_result(0.4)


@impatient(join=0.3)
def test_no_worker_left_ends_the_run(pool, dataset):
    admit(pool, pool.addresses[0], dataset, 0).close()
    training = Training(pool, 1)
    with pytest.raises(ClusterError, match=r"there has been no worker for 0\.3 s; the last checkpoint stands"):
        training.run()
    assert pool.stats.answered == {}
    assert training.nothing > 0, "before, it says only that no answer came"


@both_kinds
@impatient(answer=0.3)
def test_workers_that_never_answer_end_the_run(pool, dataset, kind):
    links = [admit(pool, pool.addresses[kind], dataset, index) for index in (5, 7)]
    training = Training(pool, 2)
    with pytest.raises(ClusterError, match=r"none of the workers \[5, 7\] has answered for 0\.3 s"):
        training.run()
    assert training.nothing > 0
    for link in links:
        link.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_only_the_time_that_is_waited_counts(pool, dataset, monkeypatch, workers):
    """An hour in which the pool tests the weights, or its machine sleeps, is not the workers' fault."""
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


def test_the_units_of_a_process_killed_elsewhere_go_to_another(pool, dataset, threads, start, expected):
    mine, theirs = SPAWN.Pipe()
    victim = start(work_until_stuck, theirs, pool.addresses[1], dataset, 0)
    assert pool.gather(1, SECONDS)
    threads.submit(work, pool.addresses[0], dataset, 1)
    assert pool.gather(2, SECONDS)

    def kill_when_it_holds_a_unit():
        unit = mine.recv()
        os.kill(victim.pid, signal.SIGKILL)
        return unit

    killed = threads.submit(kill_when_it_holds_a_unit)
    training = Training(pool, 2)
    assert training.run() == expected
    assert killed.result() in {Unit(0, 0, node) for node in PLAN.units(0, 2)}
    victim.join(20)
    assert victim.exitcode == -signal.SIGKILL
    while pool.count > 1:  # who is overdue is not waited for, nor for the end of its connection
        pool.gather(1_000, 0.01)
    assert list(pool.stats.answered) == [1]


@both_kinds
@pytest.mark.parametrize(
    "said",
    [
        lambda _: b"",
        lambda _: b"?",
        lambda _: bytes(1_000),
        lambda unit: protocol.pack_answer(unit, TALLY, 0, 0.0)[:-1],
        lambda unit: protocol.pack_answer(unit, TALLY, CREDITS, 0.0),
        lambda unit: protocol.pack_answer(unit, TALLY, 2**32 - 1, 0.0),
        lambda unit: protocol.pack_answer(unit._replace(step=unit.step + 1), TALLY, 0, 0.0),
        lambda unit: protocol.pack_answer(unit._replace(node=Node(0, 1)), TALLY, 0, 0.0),
        lambda _: protocol.FAILURE,
        lambda _: protocol.FAILURE + b"[]",
        lambda _: protocol.FAILURE + b"[" * 100_000,
        lambda _: protocol.FAILURE + b'{"error": 5, "message": "six"}',
    ],
    ids=["empty", "byte", "zeros", "cut", "slot", "large", "step", "node", "no failure", "list", "nested", "number"],
)
def test_a_worker_that_makes_no_sense_is_dropped_and_its_units_go_to_another(
    pool, dataset, threads, expected, kind, said
):
    mad = admit(pool, pool.addresses[kind], dataset, 0)
    threads.submit(work, pool.addresses[kind], dataset, 1)
    assert pool.gather(2, SECONDS)

    def talk_nonsense():
        units = mad.units()
        mad._connection.send_bytes(said(next(units)[0]))
        return [*units]

    talking = threads.submit(talk_nonsense)
    assert Training(pool, 2).run() == expected
    while pool.count > 1:
        pool.gather(1_000, 0.01)
    assert list(pool.stats.answered) == [1]
    assert len(talking.result(SECONDS)) < CREDITS, "it was hung up on"
    mad.close()


def test_a_gradient_of_another_size_is_dropped_with_its_worker(pool, dataset, threads, expected):
    mad = admit(pool, pool.addresses[1], dataset, 0)
    threads.submit(work, pool.addresses[1], dataset, 1)
    assert pool.gather(2, SECONDS)

    def send_too_little():
        units = mad.units()
        mad._connection.send_bytes(protocol.pack_answer(next(units)[0], TALLY, 0, 0.0))
        mad._connection.send_bytes(bytes(4 * SHAPE.size - 4))
        return [*units]

    talking = threads.submit(send_too_little)
    assert Training(pool, 2).run() == expected
    assert len(talking.result(SECONDS)) < CREDITS, "it was hung up on"
    assert list(pool.stats.answered) == [1]
    mad.close()


@pytest.mark.parametrize("name", ["ClusterError", "DatasetError", "NoErrorOfOurs", "MemoryError", "__doc__"])
def test_a_worker_may_fail_with_an_error_of_any_name(pool, dataset, name):
    """No name makes anything but an error of ours, even where it is one of the module of errors."""
    link = admit(pool, pool.addresses[0], dataset, 7)
    link._connection.send_bytes(protocol.FAILURE + json.dumps({"error": name, "message": "words"}).encode())
    with pytest.raises(DdmlpError, match=r"^worker 7: words$") as caught:
        Training(pool, 1).run()
    assert type(caught.value) is (DatasetError if name == "DatasetError" else ClusterError)
    link.close()
