"""Ways to carry weights to two workers and gradients back: python -m tools.benchmarks.ways WAY --hidden N --seconds S

The workers answer with what they were sent, so a step is what is left without the arithmetic of the gradients: the
message path, adding two gradients, and the update. Prints milliseconds a step, as JSON.
"""

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.cli.terminal import Parser, command
from ddmlp.config import Timeouts, TrainConfig
from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.numerics import arithmetic_fingerprint
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.ray_backend.cluster import connect
from ddmlp.training.job import Job
from ddmlp.training.messages import Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.schedule import Schedule
from ddmlp.training.step_loop import StepLoop
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient, run_worker
from ddmlp.transport.socket_pool import SocketWorkerPool

WORKERS = 2
SECRET = b"for as long as it is measured"
WARM_UP, STRETCH = 30, 20  # steps
SECONDS = 30.0  # the longest that a worker may take
PIXELS, CLASSES = 784, 10

Steps = Callable[[int], object]  # does so many; ours says how many it has done in all


class Echo:
    """A worker on Ray, or in a process, that computes nothing."""

    def __call__(self, weights: Floats) -> Floats:
        return weights.copy()

    def compute(self, _unit: Unit, weights: Weights, out: Weights) -> RowStats:
        out.flat[:] = weights.flat
        return RowStats(0, 0, 0.0, 0)

    def prefetch(self, _unit: Unit) -> None:
        """There is nothing to read."""


class Server:
    """The parameter server of the ways over Ray."""

    def __init__(self, size: int) -> None:
        self.weights: Floats = np.zeros(size, np.float32)

    def apply(self, *gradients: Floats) -> Floats:
        total = gradients[0] + gradients[1]
        total *= np.float32(0.1)
        self.weights = self.weights - total
        return self.weights

    def steps(self, ray: Any, workers: list[Any], count: int) -> None:
        """Call the workers from here: no driver in the path."""
        for _ in range(count):
            weights = ray.put(self.weights)
            self.apply(*ray.get([worker.__call__.remote(weights) for worker in workers]))


def answer(address: protocol.Address, number: int, shape: Shape) -> None:
    """A worker of ours, in a process."""
    echo: Any = Echo()
    run_worker(echo, WorkerClient(address, SECRET, _hello(number), shape, Timeouts()))


@contextmanager
def ours(shape: Shape, address: protocol.Address) -> Iterator[Steps]:
    """The step loop and its workers, at a Unix socket or over TCP."""
    config = TrainConfig(lr=0.1, lr_schedule="constant", batch=WORKERS, microbatch=1, epochs=2**31)
    job = Job(config, Path(), Path(), WORKERS, checkpoint_every=2**31)
    plan = Plan(WORKERS, WORKERS, 1, config.epochs, 0, WORKERS, WORKERS)
    pool = SocketWorkerPool(shape, _hello(-1), SECRET, [address], capacity=job.queue_capacity)
    start = multiprocessing.get_context("spawn").Process
    workers = [start(target=answer, args=(pool.addresses[0], number, shape)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    pool.gather(WORKERS, SECONDS)
    server = ParameterServer(shape, 0, pool.reserve_weights(()))
    pool.publish_weights(0)
    loop = StepLoop(config, Schedule(job, 0), server, pool, lambda *_: "")

    def steps(count: int) -> int:
        for _ in range(count):
            loop.begin_steps(plan)
            applied = loop.apply_next(plan, time.perf_counter() + SECONDS)
            assert applied is not None, f"no answer within {SECONDS:g} s"
        return loop.step

    try:
        yield steps
    finally:
        pool.close()
        for worker in workers:
            worker.join()


def _hello(number: int) -> protocol.Hello:
    return protocol.Hello(number, protocol.VERSION, arithmetic_fingerprint(), "", {})


@contextmanager
def over_ray(way: str, shape: Shape) -> Iterator[Steps]:
    """Ray's ways, with actors."""
    cluster = connect("local")
    ray = cluster.ray
    server = ray.remote(num_cpus=0)(Server).remote(shape.size)
    workers = [ray.remote(num_cpus=0)(Echo).remote() for _ in range(WORKERS)]
    weights = ray.put(np.zeros(shape.size, np.float32))

    def driver(count: int) -> None:
        nonlocal weights
        for _ in range(count):
            weights = server.apply.remote(*(worker.__call__.remote(weights) for worker in workers))
        ray.get(weights)

    def graph(count: int) -> None:
        found = ray.get(weights)
        for _ in range(count):
            found = ray.get(compiled.execute(found))

    try:
        if way == "graph":
            from ray.dag import InputNode

            with InputNode() as given:
                bound = server.apply.bind(*(worker.__call__.bind(given) for worker in workers))
            compiled = bound.experimental_compile()
            yield graph
            compiled.teardown()
        elif way == "server":
            yield lambda count: ray.get(server.steps.remote(ray, workers, count))
        else:
            yield driver
    finally:
        cluster.leave()


@contextmanager
def prepared(way: str, shape: Shape) -> Iterator[Steps]:
    """Whatever the way needs."""
    with tempfile.TemporaryDirectory(prefix="ways", dir="/tmp") as folder:
        addresses: dict[str, protocol.Address] = {"shared": str(Path(folder, "server")), "tcp": ("127.0.0.1", 0)}
        with ours(shape, addresses[way]) if way in addresses else over_ray(way, shape) as steps:
            yield steps


def main() -> None:
    parser = Parser(description="Time a way to carry the arrays of a step; one line of JSON.")
    parser.add_argument("way", choices=("driver", "server", "graph", "tcp", "shared"))
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    with prepared(args.way, Shape(PIXELS, args.hidden, CLASSES)) as steps:
        steps(WARM_UP)
        done, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < args.seconds:
            steps(STRETCH)
            done += STRETCH
    print(json.dumps({"milliseconds": 1000 * passed / done}))


if __name__ == "__main__":
    command(main)
