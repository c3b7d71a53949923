"""Transports that carry weights to two workers and gradients back, each with its worker processes.

The workers answer with what they were sent, so a step is what is left without the arithmetic of the gradients: the
message path, adding two gradients, and the update.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.config import Timeouts, TrainConfig
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.numerics import arithmetic_fingerprint
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.job import Job
from ddmlp.training.messages import Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.schedule import Schedule
from ddmlp.training.step_loop import StepLoop
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient, run_worker
from ddmlp.transport.socket_pool import SocketWorkerPool
from tools.benchmarks.benchmark import per_second
from tools.benchmarks.peers import ray_pattern
from tools.benchmarks.peers.baseline import Rows

WORKERS = 2
SECRET = b"for as long as it is measured"
STRETCH = 20  # steps between looks at the clock
RATE = 1e-6  # small: gradients that are the weights themselves would soon make these denormal numbers, which are slow
SECONDS = 30.0  # the longest that a worker may take
PLAN = Plan(rows=WORKERS * 10**6, batch=WORKERS, microbatch=1, epochs=10**3, seed=0, block=100, window=1000)

Steps = Callable[[int], object]  # does so many


class Echo:
    """A worker that computes nothing."""

    def __init__(self, *_arguments: object) -> None:
        """As DataWorker."""

    def compute_gradients(self, weights: Floats) -> Floats:
        return weights.copy()

    def compute(self, _unit: Unit, weights: Weights, out: Weights) -> RowStats:
        out.flat[:] = weights.flat
        return RowStats(0, 0, 0.0, 0)

    def prefetch(self, _unit: Unit) -> None:
        """There is nothing to read."""


class CallingServer(ray_pattern.ParameterServer):
    """Calls the workers itself: no driver in the path."""

    def steps(self, workers: list[Any], count: int) -> None:
        import ray

        for _ in range(count):
            weights = ray.put(self.weights)
            self.apply_gradients(*ray.get([worker.compute_gradients.remote(weights) for worker in workers]))


class EchoPattern(ray_pattern.RayPattern):
    """Ray's pattern with workers that compute nothing."""

    Server, Worker = CallingServer, Echo  # type: ignore[assignment]  # they have what is asked of them


@contextmanager
def over_ray(way: str, shape: Shape) -> Iterator[Steps]:
    """Ray's ways: driver, server or graph."""
    rows = Rows(np.zeros((1, 1), np.uint8), np.zeros(1, np.uint8))  # for no worker reads them
    with closing(EchoPattern(rows, Weights.draw(shape, 0), WORKERS, RATE)) as peer:

        def compiled(count: int) -> None:
            weights = peer.ray.get(peer.weights)
            for _ in range(count):
                weights = peer.ray.get(graph.execute(weights))

        if way == "graph":
            from ray.dag import InputNode

            with InputNode() as given:
                bound = [worker.compute_gradients.bind(given) for worker in peer.workers]
                graph = peer.server.apply_gradients.bind(*bound).experimental_compile()
            yield compiled
            graph.teardown()
        elif way == "server":
            yield lambda count: peer.ray.get(peer.server.steps.remote(peer.workers, count))
        else:
            yield lambda count: peer.train(np.arange(count * WORKERS))


@contextmanager
def over_sockets(way: str, shape: Shape) -> Iterator[Steps]:
    """ddmlp's step loop on a pool of workers, with shared memory or over TCP."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        address: protocol.Address = str(Path(folder, "server")) if way == "shared" else ("127.0.0.1", 0)
        config = TrainConfig(lr=RATE, lr_schedule="constant", batch=WORKERS, microbatch=1)
        job = Job(config, Path(folder), Path(folder), WORKERS, checkpoint_every=PLAN.steps)
        pool = SocketWorkerPool(shape, hello(-1), SECRET, [address], capacity=job.queue_capacity)
        with closing(pool):
            start = multiprocessing.get_context("spawn").Process
            workers = [start(target=work, args=(pool.addresses[0], number, shape)) for number in range(WORKERS)]
            for worker in workers:
                worker.start()
            assert pool.gather(WORKERS, SECONDS), f"a worker did not join within {SECONDS:g} s"
            pool.reserve_weights(()).flat[:] = Weights.draw(shape, 0).flat
            pool.publish_weights(0)
            optimizer = SGD(config)
            server = ParameterServer(optimizer, 0, pool.weights[0])
            loop = StepLoop(optimizer, Schedule(job, 0), server, pool, lambda *_: "")

            def steps(count: int) -> int:
                for _ in range(count):
                    loop.begin_steps(PLAN)
                    assert loop.apply_next(PLAN, time.perf_counter() + SECONDS), f"no answer within {SECONDS:g} s"
                return loop.step

            yield steps
        for worker in workers:
            worker.join()


def work(address: protocol.Address, number: int, shape: Shape) -> None:
    """A worker of ddmlp's, in a process."""
    client = WorkerClient(address, SECRET, hello(number), shape, Timeouts())
    run_worker(Echo(), client)  # type: ignore[arg-type]  # it has what is asked of it


def hello(number: int) -> protocol.Hello:
    return protocol.Hello(number, protocol.VERSION, arithmetic_fingerprint(), "", {})


TRANSPORTS = {
    "Ray's object store, references through the driver (its documented pattern)": partial(over_ray, "driver"),
    "Ray's object store, the server's actor calls the workers": partial(over_ray, "server"),
    "a compiled graph of Ray's, its channels in shared memory": partial(over_ray, "graph"),
    "ddmlp, to another machine: flat buffers over TCP (here over loopback)": partial(over_sockets, "tcp"),
    "ddmlp, on one machine: shared memory, and only keys over a Unix socket": partial(over_sockets, "shared"),
}


def milliseconds(name: str, shape: Shape, seconds: float) -> dict[str, float]:
    """Of a step by that transport."""
    with TRANSPORTS[name](shape) as steps:

        def stretch() -> int:
            steps(STRETCH)
            return STRETCH

        return {"ms": 1000 / per_second(stretch, seconds)}
