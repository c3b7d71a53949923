"""Updates of the weights, instead of the weights: the same result for workers on slow links."""

import numpy as np
import pytest

from ddmlp.training.messages import Unit
from ddmlp.transport import packed_arrays, protocol
from ddmlp.transport.peer import Peer
from tests.support.sockets import PLAN, SECONDS, SHAPE, Training, admit, hand_out, work

WHOLE = 4 * SHAPE.size


@pytest.fixture
def sent(monkeypatch):
    """What the server sends with units, by worker: whether it is an update, None if there is no array."""
    found, send = {}, Peer.send

    def noted(peer, unit, slot, weights, step_size=0.0):
        found.setdefault(peer.worker, []).append(None if weights is None else bool(step_size))
        assert weights is None or (weights.nbytes == WHOLE) != bool(step_size)
        send(peer, unit, slot, weights, step_size)

    monkeypatch.setattr(Peer, "send", noted)
    return found


@pytest.fixture(autouse=True)
def slow(monkeypatch):
    """All links seem to be slow."""
    monkeypatch.setattr(packed_arrays, "PACKING", 1e30)


@pytest.mark.parametrize("kind", [1, pytest.param(2, marks=pytest.mark.slow)], ids=["tcp", "tls"])
def test_simple(pool, dataset, threads, expected, sent, kind):
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert sent == {0: [False, *[True] * (PLAN.steps - 1)]}


def test_beside_shared_memory(pool, dataset, threads, expected, sent):
    for index in range(2):
        threads.submit(work, pool.addresses[index], dataset, index)
    assert pool.gather(2, SECONDS)
    assert Training(pool, 2).run() == expected
    assert set(sent[0]) == {None}
    assert True in sent[1]


def test_fast_link(pool, dataset, threads, expected, sent, monkeypatch):
    monkeypatch.setattr(packed_arrays, "PACKING", 0.0)
    threads.submit(work, pool.addresses[1], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert sent == {0: [False] * PLAN.steps}


def test_missed_version(pool, dataset, threads, expected, sent):
    """A worker that joins late, or has missed a version, gets the weights."""
    threads.submit(work, pool.addresses[1], dataset, 0)
    assert pool.gather(1, SECONDS)
    training = Training(pool, 1)
    training.run(to=3)
    threads.submit(work, pool.addresses[1], dataset, 1)
    assert pool.gather(2, SECONDS)
    training.schedule.count = 2
    training.run(to=5)
    training.schedule.count = 1
    for peer in pool._peers.values():
        peer.version -= 1
    assert training.run() == expected
    assert sent[1][0] is False
    assert sent[0][:3] == [False, True, True]
    assert False in sent[0][3:] or False in sent[1][1:]


@pytest.mark.parametrize("version", [0, 2, -1], ids=["the same", "later", "earlier"])
def test_update_of_another_version(pool, dataset, threads, version, caplog):
    """A worker that gets it ends, instead of computing with wrong weights."""
    client = admit(pool, pool.addresses[1], dataset, 0)
    waiting = threads.submit(lambda: [unit for unit, _ in client.units()])
    (unit,) = PLAN.units_for(0, (1,))
    hand_out(pool, unit)
    (peer,) = pool._peers.values()
    update = np.zeros(SHAPE.rows, np.float32)
    peer.wire.send(protocol.pack_unit(Unit(0, version, unit), 0, update.nbytes, 0.5), update)
    assert len(waiting.result(SECONDS)) == 1
    assert "an update" in caplog.text
    client.close()
