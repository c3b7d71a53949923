"""The handshake: which workers are admitted, and what the others are told."""

import re
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Client

import pytest
from msgspec.structs import replace

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.training.worker_pool import REJECTED
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient
from tests.support.sockets import (
    SECONDS,
    SECRET,
    SHAPE,
    SLOTS,
    Training,
    admit,
    both_kinds,
    heard,
    hello,
    join,
    meet,
    work,
)


@both_kinds
def test_wrong_secret(pool, dataset, threads, expected, kind):
    """The worker is refused, and the run goes on."""
    with pytest.raises(ConnectionError, match=r"^worker 0 cannot reach the server at .*AuthenticationError.*digest"):
        meet(pool, lambda: WorkerClient(pool.addresses[kind], b"guessed", hello(0, dataset), SHAPE, Timeouts()))
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected


@pytest.mark.parametrize("said", [b"no JSON", b"[]", b'{"worker": 1}', b"\xff", b" " * (protocol.HELLO_BYTES + 1)])
def test_no_hello(pool, dataset, threads, expected, said):
    """What is none does not stop the run."""
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
        ({"arithmetic": "f" * 64, "machine": "mips, flushed"}, "known-answer.* mips, flushed, .*same versions"),
        ({"arithmetic": "f" * 64, "versions": {"numba": "9"}}, r"numba 9 \(the server None\)"),
        ({"dataset_sha256": "f" * 64, "dataset": "/mnt, 9 rows"}, "dataset: /mnt, 9 rows, the server 300 rows;"),
        ({"config": {"seed": 5}}, "settings.* {'seed': 5}, .* {'seed': 4}$"),
        ({"config": {"seed": True}}, "settings.* {'seed': True}, .* {'seed': 4}$"),
        ({"protocol": 99}, "version 99 of the protocol.* ddmlp"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_workers(pool, dataset, kind, change, says):
    """One that would compute something else is told so, and so is whoever runs the run."""
    different = replace(hello(3, dataset), **change, host="far\x1b[31m")
    with pytest.raises(ClusterError, match=f"worker 3: .*{says}"):
        meet(pool, WorkerClient, pool.addresses[kind], SECRET, different, SHAPE, Timeouts())
    admit(pool, pool.addresses[kind], dataset, 4).close()
    (lost,) = pool.stats.newest_lost[: pool.stats.lost]
    assert (lost.worker, lost.host, lost.cause) == (3, r"far\x1b[31m", REJECTED)
    assert re.search(says, lost.reason)


def test_number_in_use(pool, dataset):
    """Which is nobody's fault."""
    links = [admit(pool, pool.addresses[0], dataset, 0)]
    with pytest.raises(ClusterError, match="there is a worker 0 already"):
        meet(pool, join, pool.addresses[0], dataset, 0)
    links.append(admit(pool, pool.addresses[0], dataset, 1))
    assert pool.stats.lost == 0
    for link in links:
        link.close()


def test_one_number_at_once(pool, dataset):
    """Of two workers with it, one is let in."""
    both = [meet(pool, lambda: Client(pool.addresses[1], authkey=SECRET)) for _ in range(2)]
    for each in both:
        each.send_bytes(protocol.pack(hello(5, dataset)))
    for each in both:  # while the hub attends to nobody
        assert protocol.unpack(each.recv_bytes(), protocol.Welcome) == protocol.Welcome(shared=False, slots=SLOTS)
    (out,) = meet(pool, connection.wait, both, SECONDS)
    assert heard(out) == []
    assert pool.stats.answered == {5: 0}
    for each in both:
        each.close()


def test_number_is_free_again(pool, dataset):
    admit(pool, pool.addresses[1], dataset, 0).close()
    while pool.count:
        pool.gather(1_000, 0.01)
    admit(pool, pool.addresses[1], dataset, 0).close()
