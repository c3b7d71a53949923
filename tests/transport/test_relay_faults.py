"""Workers behind a relay that die, hang or fail, and relays that die: the bits of one process."""

from contextlib import ExitStack
from threading import Event

import pytest

from ddmlp.config import Timeouts
from ddmlp.data.dataset import Dataset
from ddmlp.errors import DatasetError, TrainingError
from ddmlp.training.worker import Worker
from ddmlp.training.worker_pool import EXITED, REJECTED, relay_number
from ddmlp.transport import relay
from ddmlp.transport.client import run_worker
from tests.support.relays import node
from tests.support.sockets import PLAN, SECONDS, SHAPE, Training, join, listening, work

PATIENT = Timeouts(overdue=3_600)  # nothing is overdue, however busy the machine is


class LackingWorker(Worker):
    """Lacks a row of the data."""

    def compute(self, *_):
        raise DatasetError("row 5")


def test_node_without_data(dataset, threads, expected):
    """Its relay fails with the error of its worker, and others compute its units."""
    with listening(dataset, PATIENT) as pool, node(threads, dataset, pool.addresses[1]) as far:
        lacking = LackingWorker(Dataset(dataset), PLAN, SHAPE)
        failing = threads.submit(lambda: run_worker(lacking, join(far.address, dataset, 7)))
        assert pool.gather(1, SECONDS)
        threads.submit(work, pool.addresses[0], dataset, 0)
        assert pool.gather(2, SECONDS)
        assert Training(pool, 2).run() == expected
        with pytest.raises(DatasetError, match=r"^worker 7 on here: row 5$"):
            far.serving.result(SECONDS)
        with pytest.raises(DatasetError, match=r"^row 5$"):
            failing.result(SECONDS)
        assert list(pool.stats.answered) == [0]


class WrongWorker(Worker):
    """Computes other bits than everybody else, and only once another worker has computed the same unit."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.may_answer = Event()

    def compute(self, unit, weights, out):
        row_stats = super().compute(unit, weights, out)
        out.flat[7] += 1
        assert self.may_answer.wait(SECONDS)
        return row_stats


def take_answers(pool):
    """Take answers until one is an error."""
    while True:
        pool.next_result(0.05)


def test_different_gradients(dataset, threads):
    """Two workers of a node that differ end the run: one of its answers may be wrong."""
    timeouts = Timeouts(overdue=0.02)
    with listening(dataset, PATIENT) as pool, node(threads, dataset, pool.addresses[1], 0, timeouts=timeouts) as far:
        wrong = WrongWorker(Dataset(dataset), PLAN, SHAPE)
        assert pool.gather(1, SECONDS)
        threads.submit(lambda: run_worker(wrong, join(far.address, dataset, 7)))
        assert pool.gather(2, SECONDS)
        training = Training(pool, None)
        training.run(to=3)
        assert pool.stats.reissued > 0
        wrong.may_answer.set()
        with pytest.raises(TrainingError, match=r"^relay 0 on far0: workers 0 and 7 computed different gradients"):
            take_answers(pool)
        with pytest.raises(TrainingError):
            far.serving.result(SECONDS)


def test_worker_dies(dataset, threads, expected):
    """Another one of its node computes its unit; the server is told."""
    with listening(dataset, PATIENT) as pool, node(threads, dataset, pool.addresses[1], 0) as far:
        assert pool.gather(1, SECONDS)
        victim = threads.submit(take_and_die, far.address, dataset, 7)
        assert pool.gather(2, SECONDS)
        assert pool.capacities == (2,)
        assert Training(pool, None).run() == expected
        assert victim.result(SECONDS).microbatches == 4, "it had a unit, half of the first step"
        assert (pool.count, pool.capacities, list(pool.stats.answered)) == (1, (1,), [0])
        (lost,) = pool.stats.newest_lost
    assert (lost.worker, lost.host, lost.cause) == (7, "far0", EXITED)


def take_and_die(address, dataset, number):
    """Take a unit, and end the connection; return the unit."""
    client = join(address, dataset, number)
    unit, _ = next(client.units())
    client.close()
    return unit


def test_all_workers_die(dataset, threads, expected, monkeypatch):
    """The relay ends, and its unit goes to others."""
    monkeypatch.setattr(relay, "LOOK_SECONDS", 0.05)
    with listening(dataset, PATIENT) as pool, node(threads, dataset, pool.addresses[1]) as far:
        victim = threads.submit(take_and_die, far.address, dataset, 7)
        assert pool.gather(1, SECONDS)
        threads.submit(work, pool.addresses[0], dataset, 0)
        assert pool.gather(2, SECONDS)
        assert Training(pool, 2).run() == expected
        victim.result(SECONDS)
        assert far.serving.result(SECONDS) == 0
        assert list(pool.stats.answered) == [0]
        assert [each.worker for each in pool.stats.newest_lost] == [7], "the relay is not counted"


def test_relay_dies(dataset, threads, expected):
    """Its workers are released, and not counted as lost; another relay takes its number."""
    with ExitStack() as stack:
        pool = stack.enter_context(listening(dataset, PATIENT))
        clients = []

        def connect():
            clients.append(join(pool.addresses[1], dataset, relay_number(0)))
            return clients[-1]

        far = stack.enter_context(node(threads, dataset, pool.addresses[1], 0, 1, connect=connect))
        threads.submit(work, pool.addresses[0], dataset, 2)
        assert pool.gather(3, SECONDS)
        training = Training(pool, 2)
        training.run(to=3)
        clients[0]._wire.socket.shutdown(2)
        training.run(to=6)
        for working in far.working:
            working.result(SECONDS)
        assert (pool.count, pool.stats.lost) == (1, 0)
        stack.enter_context(node(threads, dataset, pool.addresses[1], 0, 1))
        assert pool.gather(3, SECONDS)
        assert training.run() == expected


def test_other_bits(dataset, threads, expected):
    """A worker that would compute other bits is rejected on its node, and the server is told why."""
    with listening(dataset, PATIENT) as pool, node(threads, dataset, pool.addresses[1], 0) as far:
        assert pool.gather(1, SECONDS)
        joining = threads.submit(join, far.address, dataset, 1)
        joining.result(SECONDS).close()
        with pytest.raises(Exception, match="other bits"):
            threads.submit(lambda: join(far.address, dataset, 2, arithmetic="else")).result(SECONDS)
        assert Training(pool, None).run() == expected
        rejected = [each for each in pool.stats.newest_lost if each.cause == REJECTED]
    assert [(each.worker, each.host) for each in rejected] == [(2, "far0")]
    assert "other bits" in rejected[0].reason


def test_worker_hangs(dataset, threads, expected, monkeypatch):
    """The relay drops it, and the server is told, so that it is replaced."""
    monkeypatch.setattr(relay, "LOOK_SECONDS", 0.05)
    timeouts = Timeouts(overdue=0.02, unresponsive=0.2)
    with (
        listening(dataset, PATIENT) as pool,
        node(threads, dataset, pool.addresses[1], 0, timeouts=timeouts) as far,
    ):
        assert pool.gather(1, SECONDS)
        hung = threads.submit(join, far.address, dataset, 7)
        assert pool.gather(2, SECONDS)
        training = Training(pool, None)
        assert training.run() == expected
        while not pool.stats.hung:
            pool.gather(1_000, 0.01)
        assert pool.stats.hung == [7]
        assert pool.stats.reissued > 0
        hung.result(SECONDS).close()
