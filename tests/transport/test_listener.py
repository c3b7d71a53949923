"""The listener: who connects and is silent, or talks nonsense, does not stop the training."""

import os
import select
import socket
import struct
import tempfile
import threading
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.training.messages import CREDITS
from ddmlp.transport.listener import MAX_HANDSHAKES, THREADS, HandshakeListener
from ddmlp.transport.shared_memory import Region
from tests.support.sockets import (
    SECONDS,
    SECRET,
    SHAPE,
    SLOTS,
    Training,
    both_kinds,
    heard,
    hello,
    impatient,
    join,
    listening,
    meet,
    work,
)

patient = impatient(message=3_600)  # no handshake ends because of the time that it takes


@pytest.fixture
def stranger():
    """Connects to an address, and says nothing. All are gone after the test."""
    strangers = []

    def stranger(address):
        with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SECONDS, 0))
            one.connect(address)
            strangers.append(Connection(one.detach()))
        return strangers[-1]

    yield stranger
    for each in strangers:
        each.close()


def is_open(stranger):
    """Whether the other end has neither hung up nor said more."""
    return not stranger.poll()


def handshake_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("handshake")]


def test_simple(dataset, threads):
    weights = Region.create(SLOTS, SHAPE.size)
    door = HandshakeListener(SHAPE, hello(-1, dataset), SECRET, weights, set().__contains__, Timeouts())
    with tempfile.TemporaryDirectory(prefix="ddd", dir="/tmp") as folder:
        listener = door.open(f"{folder}/door")
        joining = threads.submit(join, f"{folder}/door", dataset, 3)
        assert select.select([listener], [], [], SECONDS)[0]
        door.accept(listener)
        assert select.select([door.wakeup], [], [], SECONDS)[0]
        (peer,) = door.take_ready()
        link = joining.result()
    assert (peer.worker, peer.answered, len(peer.buffers)) == (3, 0, CREDITS)
    weights.buffers[SLOTS - 1][:] = 7
    assert link._weights[SLOTS - 1].flat[-1] == 7, "the weights are shared"
    link.gradient().flat[:] = 5
    assert peer.buffers[0][-1] == 5, "and so are the worker's answers"
    assert door.take_ready() == []
    assert not select.select([door.wakeup], [], [], 0)[0], "it rings no more"
    for each in (door, peer, link, weights):
        each.close()


@both_kinds
@pytest.mark.parametrize("secret", [b"", SECRET], ids=["a stranger", "one of us"])
@patient
def test_silent_strangers_delay_nothing(pool, dataset, threads, expected, stranger, kind, secret):
    silent = stranger(pool.addresses[kind])
    if secret:
        meet(pool, answer_challenge, silent, secret)
        meet(pool, deliver_challenge, silent, secret)
    else:
        assert b"#CHALLENGE#" in meet(pool, silent.recv_bytes)
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert is_open(silent), "the handshake is still under way"


@both_kinds
@patient
def test_too_many_strangers(pool, dataset, threads, expected, stranger, kind):
    """As many as may wait do not delay the training, and more are turned away."""
    address = pool.addresses[kind]
    threads.submit(work, address, dataset)
    assert pool.gather(1, SECONDS)
    waiting = [meet(pool, stranger, address) for _ in range(MAX_HANDSHAKES)]
    for more in [meet(pool, stranger, address) for _ in range(3)]:
        assert meet(pool, heard, more) == []
    for begun in waiting[:THREADS]:
        assert b"#CHALLENGE#" in meet(pool, begun.recv_bytes)
    assert Training(pool, 1).run() == expected
    assert all(map(is_open, waiting)), "they are still there, and only so many handshakes have begun"
    for each in waiting:
        each.close()
    while pool.count < 2:  # until the door has seen that they are gone, the worker is turned away
        try:
            link = meet(pool, join, address, dataset, 1)
        except ConnectionError:
            continue
        assert pool.gather(2, SECONDS)
    link.close()


@both_kinds
def test_close_during_handshakes(dataset, stranger, kind):
    """It leaves no thread."""
    with listening(dataset, Timeouts(message=3_600)) as pool:
        silent = [meet(pool, stranger, pool.addresses[kind]) for _ in range(THREADS + 5)]
        for begun in silent[:THREADS]:
            assert b"#CHALLENGE#" in meet(pool, begun.recv_bytes)
        assert len(handshake_threads()) == THREADS
    assert handshake_threads() == []
    for each in silent:
        assert [message for message in heard(each) if b"#CHALLENGE#" not in message] == []


@impatient(message=0.2)
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (0, b""),  # it says nothing more, and so does the last: each takes the second that the door waits
        *((kind, said) for kind in (0, 1) for said in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x04none")),
        (1, b"\0\0"),
    ],
)
def test_strangers_are_hung_up_on(pool, dataset, threads, expected, stranger, kind, said):
    strange = stranger(pool.addresses[kind])
    os.write(strange.fileno(), said)
    assert b"#CHALLENGE#" in meet(pool, heard, strange)[0]
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


def test_address_is_taken(pool):
    with pytest.raises(ClusterError, match=r"the server cannot listen at .*Address already in use"):
        pool.listen(pool.addresses[1])
