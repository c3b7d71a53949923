"""Server and workers over sockets and shared memory: real processes, real deaths, the bits of one process."""

import errno
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import AuthenticationError, connection
from pathlib import Path

import numpy as np
import pytest

from ddmlp import hub, wire
from ddmlp.dataset import Dataset, DatasetWriter
from ddmlp.errors import ClusterError, DatasetError
from ddmlp.hub import Hub
from ddmlp.idx import read_idx
from ddmlp.link import Link, serve
from ddmlp.local import LocalWorkers
from ddmlp.network import Shape, Weights
from ddmlp.numerics import fingerprint
from ddmlp.plan import Node, Plan
from ddmlp.queues import CREDITS, Unit, UnitQueue
from ddmlp.server import ParameterServer
from ddmlp.shared_memory import HEADER, Region
from ddmlp.worker import Worker

ROWS, SECRET = 300, b"known to both ends"
SHAPE = Shape(784, 8, 10)
PLAN = Plan(rows=ROWS, batch=60, microbatch=8, epochs=2, seed=4, block=100, window=ROWS)
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def dataset(sample, tmp_path_factory):
    path = tmp_path_factory.mktemp("link") / "train"
    with DatasetWriter(path, (28, 28), 10, shard_rows=100) as writer:
        images, labels = (read_idx(sample / f"train-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
        writer.append(images[:ROWS], labels[:ROWS])
    return path


@pytest.fixture(scope="module")
def expected(dataset):
    """The result of one process."""
    return train(LocalWorkers(Worker(Dataset(dataset), PLAN, SHAPE)), 1)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def server(dataset):
    with listening(dataset) as server:
        yield server


@contextmanager
def listening(dataset):
    """A hub on a Unix socket and on TCP. Not below tmp_path: a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="ddl", dir="/tmp") as folder:
        server = Hub(SHAPE, hello(-1, dataset), SECRET, [f"{folder}/server", ("127.0.0.1", 0)])
        try:
            yield server
        finally:
            server.close()


def hello(index, dataset):
    return wire.Hello(index, wire.VERSION, fingerprint(), Dataset(dataset).manifest.sha256(), {"seed": PLAN.seed})


def join(address, dataset, index=0):
    return Link(address, SECRET, hello(index, dataset), SHAPE)


def work(address, dataset, index=0):
    """A worker's life; returns how many units it has answered."""
    return serve(Worker(Dataset(dataset), PLAN, SHAPE), join(address, dataset, index))


class StuckWorker(Worker):
    """Says over a pipe which unit it holds, and never answers it."""

    def __init__(self, pipe, *arguments):
        super().__init__(*arguments)
        self.pipe = pipe

    def compute(self, unit, weights, out):
        out.flat[:] = np.nan
        self.pipe.send(unit)
        self.pipe.recv()
        raise AssertionError("it was to be killed before")


def work_until_stuck(pipe, address, dataset, index):
    serve(StuckWorker(pipe, Dataset(dataset), PLAN, SHAPE), join(address, dataset, index))


@contextmanager
def process(target, *arguments):
    """A process of its own, which has ended by itself at the end, or is ended."""
    started = SPAWN.Process(target=target, args=arguments)
    started.start()
    try:
        yield started
    finally:
        started.join(20)
        started.kill()
        started.join()


def train(workers, count):
    """Train the plan's steps; the hash of the weights, and what E and the mistakes came to."""
    server = ParameterServer(SHAPE, workers.buffers, 0, Weights.draw(SHAPE, PLAN.seed))
    queue = UnitQueue(2 * CREDITS * count)
    scores = []
    for step in range(PLAN.steps):
        server.begin(PLAN.microbatches(step))
        for node in PLAN.units(step, count):
            queue.put(Unit(step, step, node))
        while not server.complete:
            gradient = workers.exchange(queue)
            if queue.answered(gradient.unit):
                server.receive(gradient)
        scores.append(server.apply(0.5 / PLAN.batch))
        workers.publish(server.version)
    assert queue.depth == 0
    return server.weights.sha256(), scores


def test_simple(server, dataset, pool, expected):
    working = pool.submit(work, server.addresses[0], dataset)
    assert server.gather(1, 60)
    assert server.joined == [0]
    assert train(server, 1) == expected
    assert server.answered == {0: PLAN.steps}
    server.close = lambda close=server.close: None
    type(server).close(server)
    assert working.result() == PLAN.steps


def test_processes_on_a_unix_socket_and_on_tcp_give_the_bits_of_one_process(dataset, expected):
    with listening(dataset) as server:
        unix, tcp = server.addresses
        with process(work, unix, dataset, 0) as one, process(work, tcp, dataset, 1) as other:
            assert server.gather(2, 60)
            assert train(server, 2) == expected
            answered = server.answered
            server.close()
            server.close = lambda: None
    assert set(answered) == {0, 1}
    assert min(answered.values()) > 0
    assert (one.exitcode, other.exitcode) == (0, 0)


def test_the_units_of_a_killed_process_go_to_another(dataset, expected, pool):
    with listening(dataset) as server:
        mine, theirs = SPAWN.Pipe()
        with process(work_until_stuck, theirs, server.addresses[0], dataset, 0) as victim:

            def kill_when_it_holds_a_unit():
                unit = mine.recv()
                os.kill(victim.pid, signal.SIGKILL)
                return unit

            killed = pool.submit(kill_when_it_holds_a_unit)
            pool.submit(work, server.addresses[0], dataset, 1)
            assert server.gather(2, 60)
            assert train(server, 2) == expected
            assert killed.result() in {Unit(0, 0, node) for node in PLAN.units(0, 2)}
            assert server.joined == [1]
        assert victim.exitcode == -signal.SIGKILL
