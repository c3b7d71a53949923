"""The listener: silent clients, and clients that send nonsense, neither stop the training nor keep workers out."""

import os
import select

import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.transport.handshake import CHALLENGE
from ddmlp.transport.listener import MAX_HANDSHAKES
from tests.support.sockets import (
    KINDS,
    SECONDS,
    Training,
    admit,
    all_kinds,
    dial,
    heard,
    impatient,
    listening,
    meet,
    next_frame,
    plain_kinds,
    work,
)


@pytest.fixture
def connect():
    """Connects to an address, and sends nothing. All connections are closed after the test."""
    clients = []

    def connect(address):
        clients.append(dial(address))
        return clients[-1]

    yield connect
    for each in clients:
        each.close()


def is_open(client):
    """Whether the other end has neither closed the connection nor sent more."""
    return not select.select([client], [], [], 0)[0]


@all_kinds
def test_silent_client(pool, dataset, threads, expected, connect, kind):
    """It delays nothing."""
    silent = connect(pool.addresses[kind])
    assert len(meet(pool, next_frame, silent)) == CHALLENGE
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert is_open(silent), "the handshake is still under way"


@all_kinds
def test_too_many_clients(pool, dataset, threads, expected, connect, kind):
    """The oldest one is dropped, so a worker is admitted."""
    address = pool.addresses[kind]
    waiting = [connect(address) for _ in range(MAX_HANDSHAKES + 3)]
    for each in waiting[3:]:
        assert len(meet(pool, next_frame, each)) == CHALLENGE
    assert [len(meet(pool, heard, each)) for each in waiting[:3]] == [KINDS[kind] != "tls"] * 3, "a challenge at most"
    assert all(map(is_open, waiting[3:]))
    threads.submit(work, address, dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert heard(waiting[3]) == []
    assert all(map(is_open, waiting[4:]))


def test_dropped_as_the_oldest(pool, connect):
    """The listener and the oldest client are ready at the same time: the client is dropped, and not read."""
    waiting = [connect(pool.addresses[1]) for _ in range(MAX_HANDSHAKES)]
    for each in waiting:
        meet(pool, next_frame, each)
    connect(pool.addresses[1])
    os.write(waiting[0].fileno(), bytes(12))
    assert not pool.gather(1, 0.01)
    assert heard(waiting[0]) == []


@all_kinds
def test_close_during_handshakes(dataset, connect, kind):
    with listening(dataset, Timeouts(handshake=3_600)) as pool:
        silent = [connect(pool.addresses[kind]) for _ in range(5)]
        for each in silent:
            meet(pool, next_frame, each)
    assert [heard(each) for each in silent] == [[]] * 5


@impatient(handshake=0.1)
@plain_kinds
@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\1\0\0none"])
def test_slow_clients(pool, dataset, threads, expected, connect, kind, sent):
    """The whole handshake has a time limit."""
    client = connect(pool.addresses[kind])
    os.write(client.fileno(), sent)
    assert len(meet(pool, heard, client)) == 1
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


@plain_kinds
@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\4" + bytes(11) + b"none", bytes(12), b"\xff" * 12])
def test_nonsense(pool, connect, kind, sent):
    """The connection is closed at once."""
    client = connect(pool.addresses[kind])
    os.write(client.fileno(), sent)
    assert len(meet(pool, heard, client)) == 1
    assert pool.stats.lost == 0, "no client was authenticated"


def test_no_room_to_share(pool, dataset, monkeypatch):
    """The worker gets the reason. Another one, over the network, needs no shared memory."""

    def no_room(*_):
        raise ClusterError("no room")

    monkeypatch.setattr("ddmlp.transport.listener.Region.create", no_room)
    with pytest.raises(ClusterError, match="no room"):
        meet(pool, lambda: work(pool.addresses[0], dataset))
    admit(pool, pool.addresses[1], dataset, 0).close()


def test_address_is_taken(pool):
    with pytest.raises(ClusterError, match=r"the server cannot listen at .*Address already in use"):
        pool.listen(pool.addresses[1])
