"""Hubs and workers without Ray, for the tests of the message path. A test file takes its fixtures by assignment."""

import multiprocessing
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import read_idx
from ddmlp.data.writer import DatasetWriter
from ddmlp.nn.weights import Shape, Weights
from ddmlp.numerics import arithmetic_fingerprint
from ddmlp.plan.plan import Plan
from ddmlp.training.local_pool import LocalWorkerPool
from ddmlp.training.messages import CREDITS, Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol, socket_pool
from ddmlp.transport.client import WorkerClient, serve
from ddmlp.transport.socket_pool import SocketWorkerPool

ROWS, SECRET = 300, b"known to both ends"
SHAPE = Shape(784, 8, 10)
PLAN = Plan(rows=ROWS, batch=60, microbatch=8, epochs=2, seed=4, block=100, window=ROWS)
SECONDS = 15  # the longest that a worker may take to join
SLOTS = socket_pool.SLOTS + 1  # where one step is open at a time
SPAWN = multiprocessing.get_context("spawn")

both_kinds = pytest.mark.parametrize("kind", [0, 1], ids=["unix", "tcp"])  # of address


@pytest.fixture(scope="module")
def dataset(sample, tmp_path_factory):
    path = tmp_path_factory.mktemp("hub") / "train"
    with DatasetWriter(path, (28, 28), 10, shard_rows=100) as writer:
        images, labels = (read_idx(sample / f"train-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
        writer.append(images[:ROWS], labels[:ROWS])
    return path


@pytest.fixture(scope="module")
def expected(dataset):
    """The result of one process."""
    return Training(LocalWorkerPool(worker(dataset)), 1).run()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture
def start():
    """Starts a function in a process of its own, which has ended, or is ended, after the test."""
    started = []

    def start(target, *arguments):
        started.append(SPAWN.Process(target=target, args=arguments))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        process.join(20)
        process.kill()
        process.join()


@pytest.fixture
def server(dataset, pool, start):  # noqa: ARG001
    """A hub that lets its workers go before the threads and processes are waited for."""
    with listening(dataset) as server:
        yield server


@contextmanager
def listening(dataset):
    """A hub on a Unix socket and on TCP. Not below tmp_path: a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="ddl", dir="/tmp") as folder:
        server = SocketWorkerPool(SHAPE, hello(-1, dataset), SECRET, [f"{folder}/server", ("127.0.0.1", 0)])
        try:
            yield server
        finally:
            server.close()


def hello(index, dataset):
    return protocol.Hello(
        index, protocol.VERSION, arithmetic_fingerprint(), Dataset(dataset).manifest.sha256(), {"seed": PLAN.seed}
    )


def worker(dataset):
    return Worker(Dataset(dataset), PLAN, SHAPE)


def join(address, dataset, index=0):
    return WorkerClient(address, SECRET, hello(index, dataset), SHAPE)


def work(address, dataset, index=0):
    """A worker's life; returns how many units it has answered."""
    return serve(worker(dataset), join(address, dataset, index))


def meet(server, call, *arguments):
    """What a call comes to that needs the hub to attend to its sockets."""
    with ThreadPoolExecutor(1) as thread:
        calling = thread.submit(call, *arguments)
        while not calling.done():
            server.gather(1_000, 0.01)
        return calling.result()


def admit(server, address, dataset, index):
    """The link of a worker that is in."""
    link = meet(server, join, address, dataset, index)
    assert server.gather(server.count + (index not in server.answered), SECONDS)
    assert index in server.answered
    return link


def queue_of(*units):
    queue = UnitQueue(len(units))
    for unit in units:
        queue.put(unit)
    return queue


def hand_out(server, *nodes):
    """Give units of step 0 to the workers that are there; the queue, in which none is answered yet."""
    queue = queue_of(*(Unit(0, 0, node) for node in nodes))
    server.reserve(queue)
    server.publish(0)
    assert server.exchange(queue, 0) is None
    return queue


class Training:
    """The trainer's loop, a step at a time, with units for `count` workers."""

    def __init__(self, workers, count):
        self.workers, self.count = workers, count
        self.queue = UnitQueue(2 * CREDITS * count)
        self.tallies = []
        self.nothing = 0  # times that no answer came in time
        weights = workers.reserve(self.queue)
        weights.flat[:] = Weights.draw(SHAPE, PLAN.seed).flat
        self.server = ParameterServer(SHAPE, 0, weights)
        workers.publish(0)

    def receive(self, seconds=0.1):
        """Take the next answer, if one comes in time."""
        gradient = self.workers.exchange(self.queue, seconds)
        if gradient is None:
            self.nothing += 1
        elif self.queue.answered(gradient, time.monotonic()):
            self.server.receive(gradient)

    def step(self):
        step = self.server.version
        self.server.begin(step, step, PLAN.microbatches(step))
        for node in PLAN.units(step, self.count):
            self.queue.put(Unit(step, step, node))
        while self.server.ready() is None:
            self.receive()
        self.tallies.append(self.server.apply(step, 0.5 / PLAN.batch, self.workers.reserve(self.queue)))
        self.workers.publish(self.server.version)

    def run(self, to=PLAN.steps):
        """Train up to a step; the hash of the weights, and what was counted in each step."""
        while self.server.version < to:
            self.step()
        assert self.queue.depth == 0
        return self.server.weights.sha256(), self.tallies
