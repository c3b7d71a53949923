"""Workers that die, fail or send malformed messages: others get their units, or the run ends with the reason."""

import errno
import json
import os
import signal
from contextlib import suppress
from unittest import mock

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.errors import ClusterError, DatasetError, DdmlpError, MachineError
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import CREDITS, Unit
from ddmlp.training.worker import Worker
from ddmlp.training.worker_pool import REJECTED, UNRESPONSIVE
from ddmlp.transport import protocol
from ddmlp.transport.client import run_worker
from ddmlp.transport.frames import LONGEST
from tests.support.process_trainer import FORK
from tests.support.sockets import (
    PLAN,
    SECONDS,
    SHAPE,
    Training,
    admit,
    all_kinds,
    impatient,
    join,
    work,
)

TALLY = RowStats(8, 1, 0.5, 1, 0.25)


class StuckWorker(Worker):
    """Sends the unit that it holds over a pipe, and never answers it."""

    def __init__(self, pipe, *arguments):
        super().__init__(*arguments)
        self.pipe = pipe

    def compute(self, unit, _weights, out):
        out.flat[:] = np.nan
        self.pipe.send(unit)
        self.pipe.recv()
        raise AssertionError("the process was not killed")


def work_until_stuck(pipe, address, dataset, index):
    run_worker(StuckWorker(pipe, Dataset(dataset), PLAN, SHAPE), join(address, dataset, index))


def test_killed(pool, dataset, threads, start, expected):
    """The units of a process that is killed go to another."""
    mine, theirs = FORK.Pipe()
    victim = start(work_until_stuck, theirs, pool.addresses[1], dataset, 0)
    assert pool.gather(1, SECONDS)
    threads.submit(work, pool.addresses[0], dataset, 1)
    assert pool.gather(2, SECONDS)

    def kill_with_a_unit():
        unit = mine.recv()
        os.kill(victim.pid, signal.SIGKILL)
        return unit

    killed = threads.submit(kill_with_a_unit)
    training = Training(pool, 2)
    assert training.run() == expected
    assert killed.result() in {Unit(0, 0, node) for node in PLAN.units_for(0, (1, 1))}
    victim.join(20)
    assert victim.exitcode == -signal.SIGKILL
    while pool.count > 1:  # neither an overdue worker nor the end of its connection is waited for
        pool.gather(1_000, 0.01)
    assert list(pool.stats.answered) == [1]


@all_kinds
@pytest.mark.parametrize(
    "message",
    [
        lambda _: b"",
        lambda _: b"?",
        lambda _: bytes(1_000),
        lambda unit: protocol.pack_answer(unit, TALLY, 0, 0, 0.0)[:-1],
        lambda unit: b"B" + protocol.pack_answer(unit, TALLY, 0, 0, 0.0)[1:],
        lambda unit: protocol.pack_answer(unit, TALLY, CREDITS, 0, 0.0),
        lambda unit: protocol.pack_answer(unit, TALLY, 2**32 - 1, 0, 0.0),
        lambda unit: protocol.pack_answer(unit, TALLY, 0, 2**62, 0.0),
        lambda unit: protocol.pack_answer(unit, TALLY, 0, 4 * SHAPE.size - 4, 0.0),
        lambda _: bytes(LONGEST + 1),
        lambda unit: protocol.pack_answer(unit._replace(step=unit.step + 1), TALLY, 0, 0, 0.0),
        lambda unit: protocol.pack_answer(unit._replace(node=Node(0, 1)), TALLY, 0, 0, 0.0),
        lambda _: protocol.FAILURE,
        lambda _: protocol.FAILURE + b"[]",
        lambda _: protocol.FAILURE + b"[" * 100_000,
        lambda _: protocol.FAILURE + b'{"error": 5, "message": "six"}',
    ],
    ids=[
        "empty",
        "byte",
        "zeros",
        "cut",
        "kind",
        "slot",
        "large",
        "2^62",
        "short",
        "long",
        "step",
        "node",
        "no failure",
        "list",
        "nested",
        "number",
    ],
)
def test_nonsense(pool, dataset, threads, expected, kind, message):
    """Its sender is dropped, and its units go to another worker."""
    faulty = admit(pool, pool.addresses[kind], dataset, 0)
    threads.submit(work, pool.addresses[kind], dataset, 1)
    assert pool.gather(2, SECONDS)

    def send_nonsense():
        units = faulty.units()
        with suppress(ConnectionError):  # the server may reject a long message before all of it is sent
            faulty._wire.send(message(next(units)[0]))
        return [*units]

    sending = threads.submit(send_nonsense)
    assert Training(pool, 2).run() == expected
    while pool.count > 1:
        pool.gather(1_000, 0.01)
    assert list(pool.stats.answered) == [1]
    assert len(sending.result(SECONDS)) < CREDITS, "the connection was closed"
    faulty.close()


@impatient(message=0.5, bytes_per_second=1e9)
def test_gradient_that_stops(pool, dataset, threads, expected):
    """A worker that sends only a part has a time limit for the rest; its units go to another one at once."""
    faulty = admit(pool, pool.addresses[1], dataset, 0)
    threads.submit(work, pool.addresses[1], dataset, 1)
    assert pool.gather(2, SECONDS)

    def send_too_little():
        units = faulty.units()
        faulty._wire.send(protocol.pack_answer(next(units)[0], TALLY, 0, 4 * SHAPE.size, 0.0), np.zeros(9, np.float32))
        return [*units]

    sending = threads.submit(send_too_little)
    assert Training(pool, 2).run() == expected
    while pool.count > 1:
        pool.gather(1_000, 0.01)
    assert sending.result(SECONDS) == [], "the connection was closed"
    (lost,) = pool.stats.newest_lost
    assert (lost.worker, lost.cause) == (0, UNRESPONSIVE)
    assert pool.stats.reissued > 0
    faulty.close()


class FailingWorker(Worker):
    """Raises an error when it gets a unit."""

    def __init__(self, error, *arguments):
        super().__init__(*arguments)
        self.error = error

    def compute(self, _unit, _weights, _out):
        raise self.error


def work_and_fail(address, dataset, index, error, host="far"):
    client = join(address, dataset, index, host=host)
    with pytest.raises(DdmlpError):
        run_worker(FailingWorker(error, Dataset(dataset), PLAN, SHAPE), client)


@pytest.mark.parametrize(
    "error", [DatasetError("no shard 3"), OSError(5, "I/O"), MemoryError(), MachineError("flushed")]
)
def test_host_cannot_compute(pool, dataset, threads, expected, error):
    """Its worker is rejected, and the run continues with the others."""
    threads.submit(work, pool.addresses[0], dataset, 0)
    failing = threads.submit(work_and_fail, pool.addresses[1], dataset, 1, error)
    assert pool.gather(2, SECONDS)
    assert Training(pool, 2).run() == expected
    failing.result(SECONDS)
    (lost,) = pool.stats.newest_lost
    assert (lost.worker, lost.host, lost.cause) == (1, "far", REJECTED)
    assert str(error) in lost.reason
    assert pool.stats.lost == 1


def test_no_host_can_compute(pool, dataset, threads):
    """What workers on two hosts cannot compute is an error of the run."""
    failing = [
        threads.submit(work_and_fail, pool.addresses[1], dataset, index, DatasetError("row 5"), host)
        for index, host in enumerate(["far", "far", "farther"])
    ]
    assert pool.gather(3, SECONDS)
    with pytest.raises(DatasetError, match=r"^worker 2 on farther: row 5$"):
        Training(pool, 1).run()
    for each in failing:
        each.result(SECONDS)


def test_data_of_the_server(pool, dataset, threads):
    """The server reads the same data, so an error in them ends the run."""
    failing = threads.submit(work_and_fail, pool.addresses[0], dataset, 7, DatasetError("row\x1b 5"), "here")
    assert pool.gather(1, SECONDS)
    with pytest.raises(DatasetError, match=r"^worker 7 on here: row\\x1b 5$"):
        Training(pool, 1).run()
    failing.result(SECONDS)


@impatient(join=0.1)
@pytest.mark.parametrize("name", ["ClusterError", "RequestError", "UnknownError", "MemoryError", "__doc__"])
def test_failure_of_any_name(pool, dataset, name):
    """The error is a ClusterError, even if the module of errors has another object of that name."""
    link = admit(pool, pool.addresses[0], dataset, 7)
    link._wire.send(protocol.FAILURE + json.dumps({"error": name, "message": "words"}).encode())
    with pytest.raises(ClusterError, match=r"worker 7 on here rejected: words;"):
        Training(pool, 1).run()
    link.close()


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.ECONNRESET])
def test_connection_breaks(pool, dataset, monkeypatch, number):
    """The reason tells a silent host from one that has closed the connection."""
    client = admit(pool, pool.addresses[1], dataset, 0)
    (peer,) = pool._peers.values()
    monkeypatch.setattr(peer, "receive", mock.Mock(side_effect=OSError(number, os.strerror(number))))
    client.close()
    pool.gather(1_000, 0.1)
    (lost,) = pool.stats.newest_lost
    assert ("not answer" in lost.reason, "Connection reset" in lost.reason) == (
        number == errno.ETIMEDOUT,
        number == errno.ECONNRESET,
    )
