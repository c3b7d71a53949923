"""Workers that die, fail or talk nonsense: their units go to another, and the run goes on or says why not."""

import json
import os
import signal

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.errors import ClusterError, DatasetError, DdmlpError
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import CREDITS, Unit
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol
from ddmlp.transport.client import run_worker
from tests.support.process_trainer import FORK
from tests.support.sockets import (
    PLAN,
    SECONDS,
    SHAPE,
    Training,
    admit,
    both_kinds,
    join,
    work,
)

TALLY = RowStats(8, 1, 0.5, 1, 0.25)


class StuckWorker(Worker):
    """Says over a pipe which unit it holds, and never answers it."""

    def __init__(self, pipe, *arguments):
        super().__init__(*arguments)
        self.pipe = pipe

    def compute(self, unit, _weights, out):
        out.flat[:] = np.nan
        self.pipe.send(unit)
        self.pipe.recv()
        raise AssertionError("it was to be killed before")


def work_until_stuck(pipe, address, dataset, index):
    run_worker(StuckWorker(pipe, Dataset(dataset), PLAN, SHAPE), join(address, dataset, index))


def test_killed(pool, dataset, threads, start, expected):
    """The units of a process that is killed go to another."""
    mine, theirs = FORK.Pipe()
    victim = start(work_until_stuck, theirs, pool.addresses[1], dataset, 0)
    assert pool.gather(1, SECONDS)
    threads.submit(work, pool.addresses[0], dataset, 1)
    assert pool.gather(2, SECONDS)

    def kill_when_it_holds_a_unit():
        unit = mine.recv()
        os.kill(victim.pid, signal.SIGKILL)
        return unit

    killed = threads.submit(kill_when_it_holds_a_unit)
    training = Training(pool, 2)
    assert training.run() == expected
    assert killed.result() in {Unit(0, 0, node) for node in PLAN.units_for(0, 2)}
    victim.join(20)
    assert victim.exitcode == -signal.SIGKILL
    while pool.count > 1:  # who is overdue is not waited for, nor for the end of its connection
        pool.gather(1_000, 0.01)
    assert list(pool.stats.answered) == [1]


@both_kinds
@pytest.mark.parametrize(
    "said",
    [
        lambda _: b"",
        lambda _: b"?",
        lambda _: bytes(1_000),
        lambda unit: protocol.pack_answer(unit, TALLY, 0, 0.0)[:-1],
        lambda unit: protocol.pack_answer(unit, TALLY, CREDITS, 0.0),
        lambda unit: protocol.pack_answer(unit, TALLY, 2**32 - 1, 0.0),
        lambda unit: protocol.pack_answer(unit._replace(step=unit.step + 1), TALLY, 0, 0.0),
        lambda unit: protocol.pack_answer(unit._replace(node=Node(0, 1)), TALLY, 0, 0.0),
        lambda _: protocol.FAILURE,
        lambda _: protocol.FAILURE + b"[]",
        lambda _: protocol.FAILURE + b"[" * 100_000,
        lambda _: protocol.FAILURE + b'{"error": 5, "message": "six"}',
    ],
    ids=["empty", "byte", "zeros", "cut", "slot", "large", "step", "node", "no failure", "list", "nested", "number"],
)
def test_nonsense(pool, dataset, threads, expected, kind, said):
    """Whoever sends it is dropped, and its units go to another."""
    mad = admit(pool, pool.addresses[kind], dataset, 0)
    threads.submit(work, pool.addresses[kind], dataset, 1)
    assert pool.gather(2, SECONDS)

    def talk_nonsense():
        units = mad.units()
        mad._connection.send_bytes(said(next(units)[0]))
        return [*units]

    talking = threads.submit(talk_nonsense)
    assert Training(pool, 2).run() == expected
    while pool.count > 1:
        pool.gather(1_000, 0.01)
    assert list(pool.stats.answered) == [1]
    assert len(talking.result(SECONDS)) < CREDITS, "it was hung up on"
    mad.close()


def test_gradient_of_another_size(pool, dataset, threads, expected):
    mad = admit(pool, pool.addresses[1], dataset, 0)
    threads.submit(work, pool.addresses[1], dataset, 1)
    assert pool.gather(2, SECONDS)

    def send_too_little():
        units = mad.units()
        mad._connection.send_bytes(protocol.pack_answer(next(units)[0], TALLY, 0, 0.0))
        mad._connection.send_bytes(bytes(4 * SHAPE.size - 4))
        return [*units]

    talking = threads.submit(send_too_little)
    assert Training(pool, 2).run() == expected
    assert len(talking.result(SECONDS)) < CREDITS, "it was hung up on"
    assert list(pool.stats.answered) == [1]
    mad.close()


@pytest.mark.parametrize("name", ["ClusterError", "DatasetError", "NoErrorOfOurs", "MemoryError", "__doc__"])
def test_failure_of_any_name(pool, dataset, name):
    """No name makes anything but an error of ours, even where it is one of the module of errors."""
    link = admit(pool, pool.addresses[0], dataset, 7)
    link._connection.send_bytes(protocol.FAILURE + json.dumps({"error": name, "message": "words"}).encode())
    with pytest.raises(DdmlpError, match=r"^worker 7: words$") as caught:
        Training(pool, 1).run()
    assert type(caught.value) is (DatasetError if name == "DatasetError" else ClusterError)
    link.close()
