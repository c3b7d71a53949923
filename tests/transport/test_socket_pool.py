"""The server's end of the message path: who gets what, what comes back, and how long it waits."""

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
from ddmlp.transport import protocol, socket_pool
from ddmlp.transport.client import serve
from tests.support import sockets
from tests.support.sockets import PLAN, SECONDS, SHAPE, SPAWN, Training, admit, both_kinds, join, queue_of, work, worker

dataset, expected, pool, start, server = sockets.dataset, sockets.expected, sockets.pool, sockets.start, sockets.server

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
    serve(StuckWorker(pipe, sockets.Dataset(dataset), PLAN, SHAPE), join(address, dataset, index))


@both_kinds
def test_simple(server, dataset, pool, kind):
    unit, weights = Unit(0, 0, Node(0, 4)), Weights.draw(SHAPE, PLAN.seed)
    queue = queue_of(unit)
    server.reserve(queue).flat[:] = weights.flat
    server.publish(0)
    pool.submit(work, server.addresses[kind], dataset, 3)
    gradient, alone = server.exchange(queue, SECONDS), Weights(SHAPE)
    assert (gradient.unit, gradient.worker) == (unit, 3)
    assert gradient.tally == worker(dataset).compute(unit, weights, alone)
    assert gradient.flat.tobytes() == alone.flat.tobytes()
    assert (server.count, server.answered) == (1, {3: 1})


def test_gather_says_when_too_few_have_come(server, dataset):
    assert not server.gather(1, 0.01)
    link = admit(server, server.addresses[0], dataset, 0)
    assert not server.gather(2, 0.01)
    link.close()


def test_workers_may_come_while_the_training_waits_for_them(server, dataset, pool, expected):
    for index, address in enumerate(server.addresses):
        pool.submit(work, address, dataset, index)
    assert server.count == 0
    assert Training(server, 2).run() == expected


def test_workers_may_come_at_an_address_that_was_opened_later(server, dataset, pool, expected):
    pool.submit(work, server.addresses[0], dataset, 0)
    assert server.gather(1, SECONDS)
    training = Training(server, 2)
    training.run(to=PLAN.steps // 2)
    later = server.listen(("127.0.0.1", 0))
    assert later not in server.addresses
    pool.submit(work, later, dataset, 1)
    assert server.gather(2, SECONDS)
    assert training.run() == expected
    assert server.answered[1] > 0


def test_exchange_says_when_no_answer_comes_in_time_and_the_next_one_takes_it(server, dataset):
    unit = Unit(0, 0, Node(0, 4))
    queue = queue_of(unit)
    server.reserve(queue)
    server.publish(0)
    assert server.exchange(queue, 0) is None, "nobody is there"
    link = admit(server, server.addresses[0], dataset, 0)
    assert server.exchange(queue, 0) is None, "nobody has answered"
    assert next(link.units())[0] == unit
    link.gradient().flat[:] = 3
    link.answer(unit, TALLY)
    gradient = server.exchange(queue, SECONDS)
    assert (gradient.unit, gradient.tally, gradient.flat[-1]) == (unit, TALLY, 3)
    link.close()


def test_who_is_given_up_after_long_leaves_time_for_another_to_join(server, dataset, monkeypatch):
    """How long it was waited for a worker that hung does not count as time without any worker."""
    monkeypatch.setattr(socket_pool, "JOIN_SECONDS", 0.3)
    queue = queue_of(Unit(0, 0, Node(0, 4)))
    server.reserve(queue)
    server.publish(0)
    link = admit(server, server.addresses[0], dataset, 0)
    assert server.exchange(queue, 0.4) is None, "it holds the unit, and does not answer"
    link.close()
    assert server.exchange(queue, 0.01) is None
    assert server.count == 0
    with pytest.raises(ClusterError, match=r"there has been no worker for 0.3 s"):
        server.exchange(queue, 0.4)


def test_no_worker_left_ends_the_run(server, dataset, monkeypatch):
    monkeypatch.setattr(socket_pool, "JOIN_SECONDS", 0.3)
    admit(server, server.addresses[0], dataset, 0).close()
    training = Training(server, 1)
    with pytest.raises(ClusterError, match=r"there has been no worker for 0\.3 s; the last checkpoint stands"):
        training.run()
    assert server.answered == {}
    assert training.nothing > 0, "before, it says only that no answer came"


@both_kinds
def test_workers_that_never_answer_end_the_run(server, dataset, monkeypatch, kind):
    monkeypatch.setattr(socket_pool, "ANSWER_SECONDS", 0.3)
    links = [admit(server, server.addresses[kind], dataset, index) for index in (5, 7)]
    training = Training(server, 2)
    with pytest.raises(ClusterError, match=r"none of the workers \[5, 7\] has answered for 0\.3 s"):
        training.run()
    assert training.nothing > 0
    for link in links:
        link.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_only_the_time_that_is_waited_counts(server, dataset, monkeypatch, workers):
    """An hour in which the server tests the weights, or its machine sleeps, is not the workers' fault."""
    links = [admit(server, server.addresses[0], dataset, index) for index in range(workers)]
    queue = queue_of(Unit(0, 0, Node(0, 4)))
    server.reserve(queue)
    server.publish(0)
    clock, hours = time.monotonic, 0
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3_600 * hours)
    for hours in range(3):  # noqa: B007
        assert server.exchange(queue, 0) is None
    assert queue.overdue == workers, "the clock has moved"
    for link in links:
        link.close()


def test_the_units_of_a_process_killed_elsewhere_go_to_another(server, dataset, pool, start, expected):
    mine, theirs = SPAWN.Pipe()
    victim = start(work_until_stuck, theirs, server.addresses[1], dataset, 0)
    assert server.gather(1, SECONDS)
    pool.submit(work, server.addresses[0], dataset, 1)
    assert server.gather(2, SECONDS)

    def kill_when_it_holds_a_unit():
        unit = mine.recv()
        os.kill(victim.pid, signal.SIGKILL)
        return unit

    killed = pool.submit(kill_when_it_holds_a_unit)
    training = Training(server, 2)
    assert training.run() == expected
    assert killed.result() in {Unit(0, 0, node) for node in PLAN.units(0, 2)}
    victim.join(20)
    assert victim.exitcode == -signal.SIGKILL
    while server.count > 1:  # who is overdue is not waited for, nor for the end of its connection
        server.gather(1_000, 0.01)
    assert list(server.answered) == [1]


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
    server, dataset, pool, expected, kind, said
):
    mad = admit(server, server.addresses[kind], dataset, 0)
    pool.submit(work, server.addresses[kind], dataset, 1)
    assert server.gather(2, SECONDS)

    def talk_nonsense():
        units = mad.units()
        mad._connection.send_bytes(said(next(units)[0]))
        return [*units]

    talking = pool.submit(talk_nonsense)
    assert Training(server, 2).run() == expected
    while server.count > 1:
        server.gather(1_000, 0.01)
    assert list(server.answered) == [1]
    assert len(talking.result(SECONDS)) < CREDITS, "it was hung up on"
    mad.close()


def test_a_gradient_of_another_size_is_dropped_with_its_worker(server, dataset, pool, expected):
    mad = admit(server, server.addresses[1], dataset, 0)
    pool.submit(work, server.addresses[1], dataset, 1)
    assert server.gather(2, SECONDS)

    def send_too_little():
        units = mad.units()
        mad._connection.send_bytes(protocol.pack_answer(next(units)[0], TALLY, 0, 0.0))
        mad._connection.send_bytes(bytes(4 * SHAPE.size - 4))
        return [*units]

    talking = pool.submit(send_too_little)
    assert Training(server, 2).run() == expected
    assert len(talking.result(SECONDS)) < CREDITS, "it was hung up on"
    assert list(server.answered) == [1]
    mad.close()


@pytest.mark.parametrize("name", ["ClusterError", "DatasetError", "NoErrorOfOurs", "MemoryError", "__doc__"])
def test_a_worker_may_fail_with_an_error_of_any_name(server, dataset, name):
    """No name makes anything but an error of ours, even where it is one of the module of errors."""
    link = admit(server, server.addresses[0], dataset, 7)
    link._connection.send_bytes(protocol.FAILURE + json.dumps({"error": name, "message": "words"}).encode())
    with pytest.raises(DdmlpError, match=r"^worker 7: words$") as caught:
        Training(server, 1).run()
    assert type(caught.value) is (DatasetError if name == "DatasetError" else ClusterError)
    link.close()
