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

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.training.messages import CREDITS
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient
from ddmlp.transport.listener import MAX_HANDSHAKES, THREADS, HandshakeListener
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
    impatient,
    join,
    listening,
    meet,
    work,
)

dataset, expected, threads = sockets.dataset, sockets.expected, sockets.threads
start, timeouts, pool = sockets.start, sockets.timeouts, sockets.pool


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
def test_who_connects_and_is_silent_does_not_delay_the_training(
    pool, dataset, threads, expected, stranger, kind, secret
):
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
def test_as_many_strangers_as_may_wait_do_not_delay_the_training_and_more_are_turned_away(
    pool, dataset, threads, expected, stranger, kind
):
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
def test_a_close_while_handshakes_are_under_way_leaves_no_thread(dataset, stranger, kind):
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
def test_a_stranger_is_hung_up_on_and_does_not_stop_the_run(pool, dataset, threads, expected, stranger, kind, said):
    strange = stranger(pool.addresses[kind])
    os.write(strange.fileno(), said)
    assert b"#CHALLENGE#" in meet(pool, heard, strange)[0]
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


@both_kinds
def test_a_wrong_secret_is_refused_and_the_run_goes_on(pool, dataset, threads, expected, kind):
    with pytest.raises(ConnectionError, match=r"^worker 0 cannot reach the server at .*AuthenticationError.*digest"):
        meet(pool, lambda: WorkerClient(pool.addresses[kind], b"guessed", hello(0, dataset), SHAPE, Timeouts()))
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


@pytest.mark.parametrize("said", [b"no JSON", b"[]", b'{"worker": 1}', b"\xff", b" " * (protocol.HELLO_BYTES + 1)])
def test_a_hello_that_is_none_does_not_stop_the_run(pool, dataset, threads, expected, said):
    with meet(pool, lambda: Client(pool.addresses[0], authkey=SECRET)) as other:
        with suppress(BrokenPipeError, ConnectionResetError):  # one that is too long is not heard to its end
            other.send_bytes(said)
        assert meet(pool, heard, other) == []
    threads.submit(work, pool.addresses[0], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


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
def test_a_worker_that_would_compute_something_else_is_told_so(pool, dataset, kind, change, says):
    different = replace(hello(3, dataset), **change)
    with pytest.raises(ClusterError, match=f"^the server refuses worker 3: {says}"):
        meet(pool, WorkerClient, pool.addresses[kind], SECRET, different, SHAPE, Timeouts())
    admit(pool, pool.addresses[kind], dataset, 4).close()


def test_a_second_worker_of_the_same_number_is_refused(pool, dataset):
    links = [admit(pool, pool.addresses[0], dataset, 0)]
    with pytest.raises(ClusterError, match="there is a worker 0 already"):
        meet(pool, join, pool.addresses[0], dataset, 0)
    links.append(admit(pool, pool.addresses[0], dataset, 1))
    for link in links:
        link.close()


def test_of_two_workers_of_one_number_that_come_at_once_one_is_let_in(pool, dataset):
    both = [meet(pool, lambda: Client(pool.addresses[1], authkey=SECRET)) for _ in range(2)]
    for each in both:
        each.send_bytes(hello(5, dataset).dump())
    for each in both:  # while the hub attends to nobody
        assert protocol.Welcome.load(each.recv_bytes()) == protocol.Welcome(shared=False, slots=SLOTS)
    (out,) = meet(pool, connection.wait, both, SECONDS)
    assert heard(out) == []
    assert pool.stats.answered == {5: 0}
    for each in both:
        each.close()


def test_a_number_is_free_again_when_its_worker_is_gone(pool, dataset):
    admit(pool, pool.addresses[1], dataset, 0).close()
    while pool.count:
        pool.gather(1_000, 0.01)
    admit(pool, pool.addresses[1], dataset, 0).close()


def test_an_address_that_is_taken_is_a_clear_error(pool):
    with pytest.raises(ClusterError, match=r"the server cannot listen at .*Address already in use"):
        pool.listen(pool.addresses[1])
