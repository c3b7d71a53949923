"""The handshake: which workers are admitted, and why others are rejected."""

import re
import socket

import pytest

from ddmlp.errors import ClusterError
from ddmlp.training.worker_pool import REJECTED
from ddmlp.transport import protocol
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.handshake import CHALLENGE, DIGEST, Handshake
from tests.support.sockets import (
    SECONDS,
    SECRET,
    Training,
    admit,
    all_kinds,
    dial,
    heard,
    hello,
    introduce,
    join,
    meet,
    next_frame,
    work,
)


@all_kinds
def test_wrong_secret(pool, dataset, threads, expected, kind):
    """The worker is rejected, and the run continues."""
    with pytest.raises(ConnectionError, match=r"^worker 0 cannot reach the server at .*closed"):
        meet(pool, join, pool.addresses[kind], dataset, 0, b"guessed")
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


@pytest.mark.parametrize("sent", [b"no JSON", b"[]", b'{"worker": 1}', b"\xff", b" " * 60_000])
def test_no_hello(pool, dataset, threads, expected, sent):
    """A client that knows the secret, but sends no hello, does not stop the run."""
    other = dial(pool.addresses[0])
    meet(pool, introduce, other, SECRET, sent)
    assert meet(pool, heard, other) == []
    other.close()
    threads.submit(work, pool.addresses[0], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


@all_kinds
def test_replayed_digest(pool, dataset, kind):
    """A digest that was overheard is not valid in another handshake."""
    wires = [dial(pool.addresses[kind]) for _ in range(2)]
    challenges = [meet(pool, next_frame, wire) for wire in wires]
    overheard = Handshake(SECRET, wires[0].fingerprint).hello(challenges[0], protocol.pack(hello(3, dataset)))
    wires[1].send(overheard)
    assert meet(pool, heard, wires[1]) == []
    wires[0].send(overheard)
    assert meet(pool, next_frame, wires[0])
    assert list(pool.stats.answered) == [3]
    for wire in wires:
        wire.close()


def test_server_without_secret(dataset, threads):
    """A worker rejects it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        joining = threads.submit(join, listener.getsockname(), dataset)
        impostor = FrameSocket(listener.accept()[0])
        handshake = Handshake(b"guessed", bytes(32))
        impostor.send(handshake.challenge)
        hello = next_frame(impostor)
        handshake._other = hello[DIGEST : DIGEST + CHALLENGE]
        impostor.send(handshake.welcome(protocol.pack(protocol.Welcome(shared=False, slots=1))))
        with pytest.raises(ConnectionError, match="secret"):
            joining.result(SECONDS)
        impostor.close()


@all_kinds
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"arithmetic": "f" * 64, "machine": "mips, flushed"}, "known-answer.* mips, flushed, .*same versions"),
        ({"arithmetic": "f" * 64, "versions": {"numba": "9"}}, r"numba 9 \(the server None\)"),
        ({"dataset_sha256": "f" * 64, "dataset": "/mnt, 9 rows"}, "dataset: /mnt, 9 rows, the server 300 rows;"),
        ({"config": {"seed": 5}}, "settings.* {'seed': 5}, .* {'seed': 4}$"),
        ({"config": {"seed": True}}, "settings.* {'seed': True}, .* {'seed': 4}$"),
        ({"protocol": 99}, "version 99 of the protocol.* ddmlp"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_workers(pool, dataset, kind, change, reason):
    """A worker that would compute other bits is rejected with the reason, which the run also reports."""
    change = {**change, "host": "far\x1b[31m"}
    with pytest.raises(ClusterError, match=f"worker 3: .*{reason}"):
        meet(pool, lambda: join(pool.addresses[kind], dataset, 3, **change))
    admit(pool, pool.addresses[kind], dataset, 4).close()
    (lost,) = pool.stats.newest_lost[: pool.stats.lost]
    assert (lost.worker, lost.host, lost.cause) == (3, r"far\x1b[31m", REJECTED)
    assert re.search(reason, lost.reason)


def test_number_in_use(pool, dataset):
    """A worker with a number in use is rejected, and not counted as lost."""
    links = [admit(pool, pool.addresses[0], dataset, 0)]
    with pytest.raises(ClusterError, match=r"worker 0 .*already"):
        meet(pool, join, pool.addresses[0], dataset, 0)
    links.append(admit(pool, pool.addresses[0], dataset, 1))
    assert pool.stats.lost == 0
    for link in links:
        link.close()


def test_one_number_at_once(pool, dataset):
    """Of two workers with the same number, one is admitted."""
    both = [dial(pool.addresses[1]) for _ in range(2)]
    shakes = [meet(pool, introduce, each, SECRET, protocol.pack(hello(5, dataset))) for each in both]
    welcomes = [
        protocol.unpack(shake.read_welcome(meet(pool, next_frame, each)), protocol.Welcome)
        for shake, each in zip(shakes, both, strict=True)
    ]
    assert [welcome.refused is None for welcome in welcomes] == [True, False]
    assert meet(pool, heard, both[1]) == []
    assert pool.stats.answered == {5: 0}
    for each in both:
        each.close()


def test_number_free_again(pool, dataset):
    admit(pool, pool.addresses[1], dataset, 0).close()
    while pool.count:
        pool.gather(1_000, 0.01)
    admit(pool, pool.addresses[1], dataset, 0).close()
