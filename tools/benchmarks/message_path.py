"""Duration of a step without its arithmetic, for several transports: two workers echo the weights as gradients.

This leaves the messages, the addition of two gradients, and the update.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.errors import TrainingError
from ddmlp.nn.known_answer import KNOWN_ANSWER
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.ray_backend.certificates import make_credentials
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.job import Job
from ddmlp.training.messages import Unit
from ddmlp.training.schedule import Schedule
from ddmlp.training.setup import start_server
from ddmlp.training.step_loop import StepLoop
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient, run_worker
from ddmlp.transport.socket_pool import SocketWorkerPool
from ddmlp.transport.tls import Credentials, Tls
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, per_second
from tools.benchmarks.peers.baseline import Rows
from tools.benchmarks.peers.ray_pattern import WORKERS, RayPattern
from tools.benchmarks.processes import in_process

SHAPE = Shape(784, 300, 10)
SECRET = b"benchmark"
CHUNK_STEPS = 20  # steps between two readings of the clock
RATE = 1e-6  # small, because echoed weights would otherwise soon shrink to denormal numbers, which are slow
SECONDS = 30.0  # timeout of a worker
PLAN = Plan(rows=WORKERS * 10**6, batch=WORKERS, microbatch=1, epochs=10**3, seed=0, block=100, window=1000)

Steps = Callable[[int], object]  # makes a number of steps


class Echo:
    """A worker that returns the weights as its gradient."""

    def __init__(self, *_arguments: object) -> None:
        """Accept the arguments of `DataWorker`."""

    def compute_gradients(self, weights: Floats) -> Floats:
        return weights.copy()

    def compute(self, _unit: Unit, weights: Weights, out: Weights) -> RowStats:
        out.flat[:] = weights.flat
        return RowStats(0, 0, 0.0, 0, 0.0)


class EchoPattern(RayPattern):
    """Ray's pattern with workers that read no rows and compute nothing."""

    Worker = Echo

    def __init__(self, shape: Shape) -> None:
        rows = Rows(np.zeros((1, 1), np.uint8), np.zeros(1, np.uint8))
        super().__init__(rows, Weights.draw(shape, 0), WORKERS, RATE)


@contextmanager
def through_driver(shape: Shape) -> Iterator[Steps]:
    """Make steps by Ray's pattern, as documented."""
    with closing(EchoPattern(shape)) as peer:
        yield lambda count: peer.train(np.arange(count * WORKERS))


@contextmanager
def through_graph(shape: Shape) -> Iterator[Steps]:
    """Make steps by the actors of Ray's pattern in a compiled graph."""
    with closing(EchoPattern(shape)) as peer:
        from ray.dag import InputNode

        with InputNode() as given:
            bound = [worker.compute_gradients.bind(given) for worker in peer.workers]
            graph = peer.server.apply_gradients.bind(*bound).experimental_compile()

        def steps(count: int) -> None:
            weights = peer.ray.get(peer.weights)
            for _ in range(count):
                weights = peer.ray.get(graph.execute(weights))

        yield steps
        graph.teardown()


@contextmanager
def through_gloo(shape: Shape) -> Iterator[Steps]:
    """Make steps by PyTorch's all-reduce, without a server."""
    from tools.benchmarks.peers.all_reduce import Group

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        weights = Weights.draw(shape, 0).flat
        with closing(Group(weights, RATE, Path(folder, "rendezvous"))) as group:
            yield group.steps


@contextmanager
def through_sockets(shared: bool, encrypted: bool, shape: Shape) -> Iterator[Steps]:
    """Make steps by ddmlp's step loop and worker pool, with shared memory or over TCP, with or without TLS."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        address: protocol.Address = str(Path(folder, "server")) if shared else ("127.0.0.1", 0)
        config = TrainConfig(lr=RATE, lr_schedule="constant", batch=WORKERS, microbatch=1)
        job = Job(config, Path(folder), Path(folder), WORKERS, checkpoint_every=PLAN.steps)
        own, theirs = make_credentials() if encrypted else (None, None)
        with closing(SocketWorkerPool(shape, hello(-1), SECRET, [], capacity=job.queue_capacity)) as pool:
            bound = pool.listen(address, None if own is None else Tls(own, server=True))
            start = multiprocessing.get_context("spawn").Process
            workers = [start(target=work, args=(bound, number, shape, theirs)) for number in range(WORKERS)]
            for worker in workers:
                worker.start()
            assert pool.gather(WORKERS, SECONDS), f"not all workers joined within {SECONDS:g} s"
            optimizer = SGD(config)
            server = start_server(job, optimizer, Checkpoint(Weights.draw(shape, 0), 0), pool)
            loop = StepLoop(optimizer, Schedule(job, 0), server, pool, lambda *_: TrainingError())

            def steps(count: int) -> int:
                for _ in range(count):
                    loop.begin_steps(PLAN)
                    assert loop.apply_next(PLAN, time.perf_counter() + SECONDS), f"no answer within {SECONDS:g} s"
                return loop.step

            yield steps
        for worker in workers:
            worker.join()


def work(address: protocol.Address, number: int, shape: Shape, credentials: Credentials | None) -> None:
    """Run a worker of ddmlp in this process."""
    tls = None if credentials is None else Tls(credentials, server=False)
    client = WorkerClient(address, SECRET, hello(number), shape, Timeouts(), tls)
    run_worker(Echo(), client)


def hello(number: int) -> protocol.Hello:
    return protocol.Hello(number, protocol.VERSION, KNOWN_ANSWER, "", {})


TRANSPORTS: dict[str, Callable[[Shape], AbstractContextManager[Steps]]] = {
    "Ray's object store, references through the driver (its documented pattern)": through_driver,
    "a compiled graph of Ray's, its channels in shared memory": through_graph,
    "PyTorch's all-reduce on gloo, without a server (here over loopback)": through_gloo,
    "ddmlp, to another machine: flat buffers over TLS (here over loopback)": partial(through_sockets, False, True),
    "ddmlp, the same without TLS": partial(through_sockets, False, False),
    "ddmlp, on one machine: shared memory, and only keys over a Unix socket": partial(through_sockets, True, False),
}


def milliseconds(name: str, seconds: float) -> dict[str, float]:
    """Return the milliseconds of a step with a transport."""
    with TRANSPORTS[name](SHAPE) as steps:
        return {"ms": 1000 / CHUNK_STEPS / per_second(partial(steps, CHUNK_STEPS), seconds)}


def cases(settings: Settings) -> Cases:
    yield "a step", {name: partial(in_process, milliseconds, name, settings.seconds) for name in TRANSPORTS}


BENCHMARK = Benchmark("message-path", cases)
