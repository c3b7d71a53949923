"""The door: who is let in, who is told why not, and that nobody who stands there stops the training."""

import os
import select
import socket
import struct
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge

import pytest

from ddmlp.errors import ClusterError
from ddmlp.training.messages import CREDITS
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient
from ddmlp.transport.listener import AT_A_TIME, MOST, HandshakeListener
from ddmlp.transport.shared_memory import Region
from tests.support import sockets
from tests.support.sockets import (
    SECONDS,
    SECRET,
    SHAPE,
    SLOTS,
    Training,
    admit,
    both_kinds,
    hello,
    join,
    listening,
    meet,
    work,
)

dataset, expected, pool, start, server = sockets.dataset, sockets.expected, sockets.pool, sockets.start, sockets.server


@pytest.fixture
def patient(monkeypatch):
    """No handshake ends because of the time that it takes."""
    monkeypatch.setattr(protocol, "SOCKET_SECONDS", 3_600)


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


def heard(stranger):
    """The messages of the other end until it hangs up."""
    messages = []
    try:
        while True:
            messages.append(stranger.recv_bytes())
    except (EOFError, ConnectionResetError):
        return messages


def is_open(stranger):
    """Whether the other end has neither hung up nor said more."""
    return not stranger.poll()


def door_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("door")]


def test_simple(dataset, pool):
    weights = Region.create(SLOTS, SHAPE.size)
    door = HandshakeListener(SHAPE, hello(-1, dataset), SECRET, weights, set().__contains__)
    with tempfile.TemporaryDirectory(prefix="ddd", dir="/tmp") as folder:
        listener = door.open(f"{folder}/door")
        joining = pool.submit(join, f"{folder}/door", dataset, 3)
        assert select.select([listener], [], [], SECONDS)[0]
        door.knock(listener)
        assert select.select([door.bell], [], [], SECONDS)[0]
        (peer,) = door.admitted()
        link = joining.result()
    assert (peer.worker, peer.answered, len(peer.buffers)) == (3, 0, CREDITS)
    weights.buffers[SLOTS - 1][:] = 7
    assert link._weights[SLOTS - 1].flat[-1] == 7, "the weights are shared"
    link.gradient().flat[:] = 5
    assert peer.buffers[0][-1] == 5, "and so are the worker's answers"
    assert door.admitted() == []
    assert not select.select([door.bell], [], [], 0)[0], "it rings no more"
    for each in (door, peer, link, weights):
        each.close()


@both_kinds
@pytest.mark.parametrize("secret", [b"", SECRET], ids=["a stranger", "one of us"])
@pytest.mark.usefixtures("patient")
def test_who_connects_and_is_silent_does_not_delay_the_training(
    server, dataset, pool, expected, stranger, kind, secret
):
    silent = stranger(server.addresses[kind])
    if secret:
        meet(server, answer_challenge, silent, secret)
        meet(server, deliver_challenge, silent, secret)
    else:
        assert b"#CHALLENGE#" in meet(server, silent.recv_bytes)
    pool.submit(work, server.addresses[kind], dataset)
    assert server.gather(1, SECONDS)
    assert Training(server, 1).run() == expected
    assert is_open(silent), "the handshake is still under way"


@both_kinds
@pytest.mark.usefixtures("patient")
def test_as_many_strangers_as_may_wait_do_not_delay_the_training_and_more_are_turned_away(
    server, dataset, pool, expected, stranger, kind
):
    address = server.addresses[kind]
    pool.submit(work, address, dataset)
    assert server.gather(1, SECONDS)
    waiting = [meet(server, stranger, address) for _ in range(MOST)]
    for more in [meet(server, stranger, address) for _ in range(3)]:
        assert meet(server, heard, more) == []
    for begun in waiting[:AT_A_TIME]:
        assert b"#CHALLENGE#" in meet(server, begun.recv_bytes)
    assert Training(server, 1).run() == expected
    assert all(map(is_open, waiting)), "they are still there, and only so many handshakes have begun"
    for each in waiting:
        each.close()
    while server.count < 2:  # until the door has seen that they are gone, the worker is turned away
        try:
            link = meet(server, join, address, dataset, 1)
        except ConnectionError:
            continue
        assert server.gather(2, SECONDS)
    link.close()


@both_kinds
@pytest.mark.usefixtures("patient")
def test_a_close_while_handshakes_are_under_way_leaves_no_thread(dataset, stranger, kind):
    with listening(dataset) as server:
        silent = [meet(server, stranger, server.addresses[kind]) for _ in range(AT_A_TIME + 5)]
        for begun in silent[:AT_A_TIME]:
            assert b"#CHALLENGE#" in meet(server, begun.recv_bytes)
        assert len(door_threads()) == AT_A_TIME
    assert door_threads() == []
    for each in silent:
        assert [message for message in heard(each) if b"#CHALLENGE#" not in message] == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (0, b""),  # it says nothing more, and so does the last: each takes the second that the door waits
        *((kind, said) for kind in (0, 1) for said in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x04none")),
        (1, b"\0\0"),
    ],
)
def test_a_stranger_is_hung_up_on_and_does_not_stop_the_run(
    server, dataset, pool, expected, stranger, monkeypatch, kind, said
):
    monkeypatch.setattr(protocol, "SOCKET_SECONDS", 1)
    strange = stranger(server.addresses[kind])
    os.write(strange.fileno(), said)
    assert b"#CHALLENGE#" in meet(server, heard, strange)[0]
    pool.submit(work, server.addresses[kind], dataset)
    assert server.gather(1, SECONDS)
    assert Training(server, 1).run() == expected


@both_kinds
def test_a_wrong_secret_is_refused_and_the_run_goes_on(server, dataset, pool, expected, kind):
    with pytest.raises(ConnectionError, match=r"^worker 0 cannot reach the server at .*AuthenticationError.*digest"):
        meet(server, lambda: WorkerClient(server.addresses[kind], b"guessed", hello(0, dataset), SHAPE))
    pool.submit(work, server.addresses[kind], dataset)
    assert server.gather(1, SECONDS)
    assert Training(server, 1).run() == expected


@pytest.mark.parametrize("said", [b"no JSON", b"[]", b'{"worker": 1}', b"\xff", b" " * (protocol.HELLO_BYTES + 1)])
def test_a_hello_that_is_none_does_not_stop_the_run(server, dataset, pool, expected, said):
    with meet(server, lambda: Client(server.addresses[0], authkey=SECRET)) as other:
        with suppress(BrokenPipeError, ConnectionResetError):  # one that is too long is not heard to its end
            other.send_bytes(said)
        assert meet(server, heard, other) == []
    pool.submit(work, server.addresses[0], dataset)
    assert server.gather(1, SECONDS)
    assert Training(server, 1).run() == expected


@both_kinds
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"arithmetic": "f" * 64},
            r"their arithmetic gives different bits \(another processor, NumPy or BLAS\): "
            "the server has [0-9a-f]{64}, the worker f{64}$",
        ),
        ({"dataset_sha256": "f" * 64}, "they see different datasets: the server has [0-9a-f]{64}, the worker f{64}$"),
        ({"config": {"seed": 5}}, "they have different settings: the server has {'seed': 4}, the worker {'seed': 5}$"),
        ({"protocol": 99}, "they speak different versions of the protocol: the server has [0-9]+, the worker 99$"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_worker_that_would_compute_something_else_is_told_so(server, dataset, kind, change, says):
    different = replace(hello(3, dataset), **change)
    with pytest.raises(ClusterError, match=f"^the server refuses worker 3: {says}"):
        meet(server, WorkerClient, server.addresses[kind], SECRET, different, SHAPE)
    admit(server, server.addresses[kind], dataset, 4).close()


def test_a_second_worker_of_the_same_number_is_refused(server, dataset):
    links = [admit(server, server.addresses[0], dataset, 0)]
    with pytest.raises(ClusterError, match="there is a worker 0 already"):
        meet(server, join, server.addresses[0], dataset, 0)
    links.append(admit(server, server.addresses[0], dataset, 1))
    for link in links:
        link.close()


def test_of_two_workers_of_one_number_that_come_at_once_one_is_let_in(server, dataset):
    both = [meet(server, lambda: Client(server.addresses[1], authkey=SECRET)) for _ in range(2)]
    for each in both:
        each.send_bytes(hello(5, dataset).dump())
    for each in both:  # while the hub attends to nobody
        assert protocol.Welcome.load(each.recv_bytes()) == protocol.Welcome(shared=False, slots=SLOTS)
    (out,) = meet(server, connection.wait, both, SECONDS)
    assert heard(out) == []
    assert server.answered == {5: 0}
    for each in both:
        each.close()


def test_a_number_is_free_again_when_its_worker_is_gone(server, dataset):
    admit(server, server.addresses[1], dataset, 0).close()
    while server.count:
        server.gather(1_000, 0.01)
    admit(server, server.addresses[1], dataset, 0).close()


def test_an_address_that_is_taken_is_a_clear_error(server):
    with pytest.raises(ClusterError, match=r"the server cannot listen at .*Address already in use"):
        server.listen(server.addresses[1])
