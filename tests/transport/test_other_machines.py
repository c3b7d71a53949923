"""Workers on other processors, which are accepted, and on one that computes other bits, which are rejected."""

import os
import subprocess
import sys

import pytest

from ddmlp.errors import ClusterError, MachineError
from ddmlp.nn.known_answer import KNOWN_ANSWER, answer, machine
from ddmlp.training.worker_pool import REJECTED
from ddmlp.transport.client import run_worker
from tests.support.floating_point import computing
from tests.support.helpers import elsewhere
from tests.support.sockets import (
    Training,
    admit,
    all_kinds,
    impatient,
    join,
    listening,
    meet,
    work,
    worker,
)

COMPILING = 60  # seconds that a worker may take to join which compiles the kernels first
WORK = "import sys; from tests.support.sockets import work; print(work(sys.argv[1], sys.argv[2], 1))"


def test_other_processor(dataset, threads, expected):
    """One run with workers on two of them: the result is that of one process."""
    with listening(dataset) as pool:
        answered = threads.submit(work, pool.addresses[0], dataset, 0)
        other = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WORK, pool.addresses[0], str(dataset)],
            env=os.environ | elsewhere(),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert pool.gather(2, COMPILING)
            assert Training(pool, 2).run() == expected
        except BaseException:
            other.kill()
            other.communicate()
            raise
    out, _ = other.communicate(timeout=20)
    assert answered.result() > 0
    assert int(out) > 0


@all_kinds
def test_flushed_to_zero(pool, dataset, threads, expected, kind):
    """The message has the worker's answer and the right one; the run continues with others."""
    own = []

    def rejected():
        with computing("both"):
            own.extend([answer(), machine()])
            join(pool.addresses[kind], dataset)

    with pytest.raises(ClusterError) as caught:
        meet(pool, rejected)
    assert own[0] != KNOWN_ANSWER
    for word in ("worker 0", "denormal", own[1]):
        assert word in str(caught.value)
    threads.submit(work, pool.addresses[kind], dataset)
    assert pool.gather(1, COMPILING)
    assert Training(pool, 1).run() == expected


@impatient(join=0.1)
def test_flushed_to_zero_later(pool, dataset, threads):
    """An accepted worker stops with the reason before it sends a wrong gradient. No worker is left."""

    def change():
        client = join(pool.addresses[0], dataset)
        with computing("both"):
            run_worker(worker(dataset), client)

    ended = threads.submit(change)
    assert pool.gather(1, COMPILING)
    with pytest.raises(ClusterError, match=rf"0\.1 s; worker 0 on here rejected: .*denormal.*{KNOWN_ANSWER}"):
        Training(pool, 1).run()
    with pytest.raises(MachineError):
        ended.result()
    assert [lost.cause for lost in pool.stats.newest_lost] == [REJECTED]
    admit(pool, pool.addresses[1], dataset, 1).close()
