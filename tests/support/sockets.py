"""Socket pools and workers without Ray, for tests of the message path."""

import select
import struct
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.errors import TrainingError
from ddmlp.nn.known_answer import answer, machine
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.ray_backend.certificates import make_credentials
from ddmlp.training.job import Job
from ddmlp.training.messages import CREDITS, Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.schedule import Schedule
from ddmlp.training.step_loop import StepLoop
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol, socket_pool
from ddmlp.transport.client import WorkerClient, run_worker
from ddmlp.transport.frames import FrameSocket, checksum
from ddmlp.transport.handshake import Handshake
from ddmlp.transport.socket_pool import SocketWorkerPool
from ddmlp.transport.tls import Tls

ROWS, SECRET = 300, b"known to both ends"
SHAPE = Shape(784, 8, 10)
PLAN = Plan(rows=ROWS, batch=60, microbatch=8, epochs=2, seed=4, block=100, window=ROWS)
SECONDS = 15  # timeout for a worker to join
SLOTS = socket_pool.SLOTS + 1  # if one step is open at a time
CAPACITY = 4 * CREDITS

KINDS = ["unix", "tcp", "tls"]  # of address
all_kinds = pytest.mark.parametrize("kind", [0, 1, pytest.param(2, marks=pytest.mark.slow)], ids=KINDS)
plain_kinds = pytest.mark.parametrize("kind", [0, 1], ids=KINDS[:2])
SERVER, CLIENT = make_credentials()


class Encrypted(tuple):
    """Host and port of a server to which connections are encrypted. credentials: a client's."""

    credentials = CLIENT

    def __reduce__(self):
        return Encrypted, (tuple(self),), {"credentials": self.credentials}


def tls_for(address):
    """Return what encrypts a client's connection to an address; None if nothing does."""
    return Tls(address.credentials, server=False) if isinstance(address, Encrypted) else None


def impatient(**seconds):
    """Run a test with a pool that has these timeouts."""
    return pytest.mark.parametrize("timeouts", [Timeouts(**seconds)], indirect=True)


@contextmanager
def listening(dataset, timeouts=None):
    """Open a pool on a Unix socket, on TCP, and on TCP with TLS. Not in tmp_path: a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="ddl", dir="/tmp") as folder:
        pool = SocketWorkerPool(
            SHAPE,
            hello(-1, dataset),
            SECRET,
            [f"{folder}/server", ("127.0.0.1", 0)],
            capacity=CAPACITY,
            timeouts=timeouts,
        )
        try:
            pool.addresses.append(Encrypted(pool.listen(("127.0.0.1", 0), Tls(SERVER, server=True))))
            yield pool
        finally:
            pool.close()


def hello(index, dataset):
    return protocol.Hello(
        index,
        protocol.VERSION,
        answer(),
        Dataset(dataset).manifest.sha256(),
        {"seed": PLAN.seed},
        machine=machine(),
        host="here",
        versions={"ddmlp": "9.8.7"},
        dataset="300 rows",
    )


def worker(dataset):
    return Worker(Dataset(dataset), PLAN, SHAPE)


def join(address, dataset, index=0, secret=SECRET, /, **changes):
    """Connect a worker; changes: of its hello."""
    said = replace(hello(index, dataset), **changes)
    return WorkerClient(address, secret, said, SHAPE, Timeouts(), tls_for(address))


def work(address, dataset, index=0):
    """Run a worker to its end; return the number of units that it answered."""
    return run_worker(worker(dataset), join(address, dataset, index))


def meet(pool, call, *arguments):
    """Return the result of a call in a thread, while the pool serves its sockets."""
    with ThreadPoolExecutor(1) as thread:
        calling = thread.submit(call, *arguments)
        while not calling.done():
            pool.gather(1_000, 0.01)
        return calling.result()


def admit(pool, address, dataset, index):
    """Let a worker join, or a relay, which has no workers yet; return its client."""
    client = meet(pool, join, address, dataset, index)
    while index not in pool._peers:
        assert pool.serve(time.monotonic() + SECONDS)
    return client


def dial(address):
    """Open a connection without sending anything."""
    return FrameSocket(protocol.connect(address, SECONDS), tls_for(address))


def packed(frame, array=None):
    """Return the bytes of a frame, and of an array after it."""
    sums = zlib.crc32(frame), 0 if array is None else checksum(array)
    return struct.pack("<III", len(frame), *sums) + frame + (b"" if array is None else array.tobytes())


def next_frame(wire):
    """Return the next frame of the other end; fails if none arrives."""
    while (frame := wire.receive()) is None:
        assert select.select([wire], [], [], SECONDS)[0], "no frame arrived"
    return frame


def heard(wire):
    """Return the frames of the other end until it closes the connection."""
    frames = []
    try:
        while True:
            frames.append(next_frame(wire))
    except (EOFError, ConnectionError):
        return frames


def rejections(caplog):
    """Return the lines of the log about rejected clients."""
    return [line for record in caplog.records if (line := record.getMessage()).startswith("rejected")]


def introduce(wire, secret, message):
    """Send a hello; return the handshake, which can read the welcome."""
    challenge = next_frame(wire)
    handshake = Handshake(secret, wire.fingerprint)
    wire.send(handshake.hello(challenge, message))
    return handshake


def publish(pool, version=0):
    """Publish the next buffer as the weights of a version; return them."""
    weights = pool.reserve_weights(())
    pool.publish_weights(version)
    return weights


def hand_out(pool, *nodes):
    """Send units of step 0 to the connected workers; none is answered yet."""
    publish(pool)
    for node in nodes:
        pool.submit(Unit(0, 0, node))
    assert pool.next_result(0) is None


class FixedParts(Schedule):
    """Cuts each step for a fixed number of workers; None: for those that are connected."""

    count = 1

    def parts(self, capacities):
        return super().parts(capacities) if self.count is None else (1,) * self.count


class Training:
    """The step loop on a pool, one step at a time, with units for `count` workers."""

    def __init__(self, pool, count):
        config = TrainConfig(lr=0.5, lr_schedule="constant", batch=PLAN.batch)
        self.pool = pool
        self.schedule = FixedParts(Job(config, Path(), Path(), 1, 10**9), 0)
        self.schedule.count = count
        self.row_stats = []
        self.nothing = 0  # how often no answer came in time
        publish(pool).flat[:] = Weights.draw(SHAPE, PLAN.seed).flat
        server = ParameterServer(SGD(config), 0, pool.weights[0], note=pool.note_update)
        self.loop = StepLoop(SGD(config), self.schedule, server, pool, lambda *_: TrainingError("not finite"))

    @property
    def queue(self):
        return self.pool._queue

    def step(self):
        self.loop.begin_steps(PLAN)
        while (applied := self.loop.apply_next(PLAN, time.perf_counter() + 0.1)) is None:
            self.nothing += 1
        self.row_stats.append(applied.row_stats)

    def take_late_answers(self):
        """Receive late answers while no unit is open."""
        assert self.pool.next_result(0.01) is None

    def run(self, to=None):
        """Train up to a step; return the hash of the weights, and the row statistics of each step."""
        while self.loop.step < (PLAN.steps if to is None else to):
            self.step()
        assert self.pool.stats.depth == 0
        return self.loop.weights.sha256(), self.row_stats
