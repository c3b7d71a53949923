"""The listener: silent clients, and clients that send nonsense, neither stop the training nor keep workers out."""

import os
import select

import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.transport.handshake import CHALLENGE
from ddmlp.transport.listener import MAX_HANDSHAKES
from tests.support.sockets import (
    SECONDS,
    SECRET,
    Training,
    both_kinds,
    dial,
    heard,
    hello,
    impatient,
    introduce,
    listening,
    meet,
    next_frame,
    work,
)


@pytest.fixture
def stranger():
    """Connects to an address, and says nothing. All are gone after the test."""
    strangers = []

    def stranger(address):
        strangers.append(dial(address))
        return strangers[-1]

    yield stranger
    for each in strangers:
        each.close()


def is_open(stranger):
    """Whether the other end has neither hung up nor said more."""
    return not select.select([stranger], [], [], 0)[0]


@both_kinds
def test_silent_stranger(pool, dataset, threads, expected, stranger, kind):
    """It delays nothing."""
    silent = stranger(pool.addresses[kind])
    assert len(meet(pool, next_frame, silent)) == CHALLENGE
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert is_open(silent), "the handshake is still under way"


@both_kinds
def test_too_many_strangers(pool, dataset, threads, expected, stranger, kind):
    """The oldest is dropped, so a worker is admitted."""
    address = pool.addresses[kind]
    waiting = [stranger(address) for _ in range(MAX_HANDSHAKES + 3)]
    for each in waiting:
        assert len(meet(pool, next_frame, each)) == CHALLENGE
    assert [meet(pool, heard, each) for each in waiting[:3]] == [[], [], []]
    assert all(map(is_open, waiting[3:]))
    threads.submit(work, address, dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert heard(waiting[3]) == []
    assert all(map(is_open, waiting[4:]))


@both_kinds
def test_close_during_handshakes(dataset, stranger, kind):
    with listening(dataset, Timeouts(handshake=3_600)) as pool:
        silent = [stranger(pool.addresses[kind]) for _ in range(5)]
        for each in silent:
            meet(pool, next_frame, each)
    assert [heard(each) for each in silent] == [[]] * 5


@impatient(handshake=0.1)
@both_kinds
@pytest.mark.parametrize("said", [b"", b"\0\0", b"\0\1\0\0none"])
def test_slow_strangers(pool, dataset, threads, expected, stranger, kind, said):
    """They have a time limit for the whole handshake."""
    strange = stranger(pool.addresses[kind])
    os.write(strange.fileno(), said)
    assert len(meet(pool, heard, strange)) == 1
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


@both_kinds
@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\4" + bytes(11) + b"none", bytes(12), b"\xff" * 12])
def test_nonsense(pool, stranger, kind, said):
    """The connection is closed at once."""
    strange = stranger(pool.addresses[kind])
    os.write(strange.fileno(), said)
    assert len(meet(pool, heard, strange)) == 1
    assert pool.stats.lost == 0, "no client was authenticated"


def test_no_room_to_share(pool, dataset, stranger, monkeypatch):
    """The worker gets the reason."""

    def no_room(*_):
        raise ClusterError("no room")

    monkeypatch.setattr("ddmlp.transport.listener.Region.create", no_room)
    with pytest.raises(ClusterError, match="no room"):
        meet(pool, lambda: work(pool.addresses[0], dataset))
    strange = stranger(pool.addresses[1])
    meet(pool, introduce, strange, SECRET, b"{}")
    assert hello(0, dataset).worker == 0


def test_address_is_taken(pool):
    with pytest.raises(ClusterError, match=r"the server cannot listen at .*Address already in use"):
        pool.listen(pool.addresses[1])
