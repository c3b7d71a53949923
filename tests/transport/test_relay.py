"""A relay between the server and the workers of a node: the bits of one process, and few bytes between nodes."""

from contextlib import ExitStack

import pytest

from ddmlp.config import Timeouts
from ddmlp.training.worker_pool import relay_number
from ddmlp.transport.frames import FrameSocket
from tests.support import slices
from tests.support.relays import node
from tests.support.slices import training
from tests.support.sockets import PLAN, SECONDS, SHAPE, Training, all_kinds, join, listening, work

PATIENT = Timeouts(overdue=3_600)  # nothing is overdue, however busy the machine is
FRAME = 600  # bytes of a message without arrays, at most


@all_kinds
def test_simple(dataset, threads, expected, kind):
    """Two nodes share each step, and the workers of each node its half."""
    with ExitStack() as stack:
        pool = stack.enter_context(listening(dataset, PATIENT))
        nodes = [
            stack.enter_context(node(threads, dataset, pool.addresses[kind], *numbers, index=index))
            for index, numbers in enumerate([(0, 1), (2, 3)])
        ]
        assert pool.gather(4, SECONDS)
        training = Training(pool, None)
        assert training.run() == expected
        assert (pool.count, pool.connections, pool.capacities) == (4, 2, (2, 2))
        answered = pool.stats.answered
    assert [each.serving.result(SECONDS) for each in nodes] == [PLAN.steps] * 2
    assert sorted(answered) == [0, 1, 2, 3]
    assert sum(answered.values()) == 4 * PLAN.steps
    assert [working.result(SECONDS) for each in nodes for working in each.working] == [*answered.values()]


@pytest.mark.parametrize("workers", [1, 4])
def test_traffic(dataset, threads, monkeypatch, workers):
    """Each node gets the weights once a step, and sends one gradient, whatever its number of workers."""
    sent = []

    def send(self, frame, array=None):
        sent.append(0 if array is None else array.nbytes)
        assert len(frame) < FRAME
        before(self, frame, array)

    before = FrameSocket.send
    with listening(dataset, PATIENT) as pool, node(threads, dataset, pool.addresses[1], *range(workers)):
        assert pool.gather(workers, SECONDS)
        training = Training(pool, None)
        training.run(to=2)
        monkeypatch.setattr(FrameSocket, "send", send)
        training.run(to=6)
        monkeypatch.undo()
    arrays = [size for size in sent if size]
    assert len(arrays) == 4 * 2, "for each of 4 steps, the weights and a gradient"
    assert max(arrays) <= SHAPE.size * 4, "float32, or packed if the machine is busy"


def test_worker_beside_the_server(dataset, threads, expected):
    """A step is cut by the numbers of workers."""
    with listening(dataset, PATIENT) as pool, node(threads, dataset, pool.addresses[1], 1, 2, 3):
        threads.submit(work, pool.addresses[0], dataset, 0)
        assert pool.gather(4, SECONDS)
        assert pool.capacities == (3, 1)
        assert Training(pool, None).run() == expected
        assert sorted(pool.stats.answered) == [0, 1, 2, 3]


@pytest.mark.parametrize("servers", [1, 2])
def test_several_servers(dataset, threads, expected, servers):
    """The relay has the connections to them, its workers only one to the relay."""
    with training(dataset, servers, 0, timeouts=PATIENT) as found:
        address, number = found.pool.addresses[0], relay_number(0)
        with node(threads, dataset, None, 0, 1, connect=lambda: slices.join(address, found.group, 0, number)):
            assert found.pool.gather(2, SECONDS)
            found.schedule.count = None
            assert found.run() == expected
            assert (found.pool.connections, sum(found.pool.stats.answered.values())) == (1, 2 * PLAN.steps)


def test_capacity_changes(dataset, threads, expected):
    """The server knows it whenever a worker joins or leaves, also if no unit is out."""
    with listening(dataset, PATIENT) as pool, node(threads, dataset, pool.addresses[1], 0) as far:
        assert pool.gather(1, SECONDS)
        training = Training(pool, None)
        training.run(to=2)
        second = threads.submit(join, far.address, dataset, 1)
        assert pool.gather(2, SECONDS)
        assert pool.capacities == (2,)
        second.result(SECONDS).close()
        while pool.count > 1:
            pool.gather(1_000, 0.01)
        assert pool.capacities == (1,)
        far.start(2)
        assert pool.gather(2, SECONDS)
        assert training.run() == expected
        assert pool.stats.answered[2] > 0
