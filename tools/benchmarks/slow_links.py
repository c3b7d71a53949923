"""What rounded gradients save on slow links: python -m tools.benchmarks.slow_links [--fast] DATA

Two workers and a server are on hosts of their own (`ShapedNetwork`), so root is needed, and share this machine's cores.
Everything is real, also the arithmetic. Prints the tables of docs/modes.md; takes about 5 minutes.
"""

import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import ddmlp
from ddmlp.cli.terminal import Parser, command
from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.errors import ConfigError, TrainingError
from ddmlp.nn.known_answer import KNOWN_ANSWER, check_arithmetic
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Weights
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.job import Job
from ddmlp.training.schedule import Schedule
from ddmlp.training.setup import start_server
from ddmlp.training.step_loop import StepLoop
from ddmlp.training.worker import Worker
from ddmlp.transport import packed_arrays, protocol
from ddmlp.transport.client import WorkerClient, run_worker
from ddmlp.transport.socket_pool import SocketWorkerPool
from tools.benchmarks import shaped_network
from tools.benchmarks.processes import in_process
from tools.benchmarks.shaped_network import ShapedNetwork, address, enter

LINKS = {"10 Gbit/s": 1.25e9, "1 Gbit/s": 1.25e8, "100 Mbit/s": 1.25e7}  # bytes per second and direction
BATCHES = {128: (64, 2.0), 1024: (128, 4.0)}  # rows of a microbatch, and the learning rate
# What is sent: the bits of gradients, and whether arrays may be packed.
SENT = {"32, never packed": (0, False), "32": (0, True), **{str(bits): (bits, True) for bits in (16, 8, 6, 4)}}
HIDDEN, WORKERS, SEEDS = 400, 2, 3
SECRET, SECONDS = b"benchmark", 60.0
ENDLESS = 1_000_000  # epochs: the measurement ends by time
WARM, LEAST = 3, 5  # steps before the measurement, and at least in it


class Found(NamedTuple):
    """Seconds of a step, and the bytes that a worker receives and sends in it, with all headers."""

    seconds: float
    down: float
    up: float


def config_of(batch: int, bits: int, seed: int = 0) -> TrainConfig:
    microbatch, lr = BATCHES[batch]
    return TrainConfig(hidden=HIDDEN, batch=batch, microbatch=microbatch, lr=lr, gradient_bits=bits, seed=seed)


def measure(data: Path, config: TrainConfig, packing: bool, rate: float, seconds: float) -> Found:
    """Make steps for some seconds over links of this rate. Call it in a process of its own."""
    config = replace(config, epochs=ENDLESS)
    check_arithmetic()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        job = Job(config, data, Path(folder), WORKERS, checkpoint_every=10**9)
        network = ShapedNetwork(1 + WORKERS, rate)
        enter(network.place(1))
        dataset = Dataset(data / "train")
        plan, shape = job.plan(dataset.manifest), job.shape(dataset.manifest)
        ours = [(address(1), 0)]
        with closing(SocketWorkerPool(shape, hello(-1), SECRET, ours, capacity=job.queue_capacity)) as pool:
            start = get_context("spawn").Process
            places = [network.place(2 + number) for number in range(WORKERS)]
            workers = [
                start(target=work, args=(place, pool.addresses[0], number, job, packing), daemon=True)
                for number, place in enumerate(places)
            ]
            for worker in workers:
                worker.start()
            if not pool.gather(WORKERS, SECONDS):
                raise TrainingError(f"not all workers have joined within {SECONDS:g} s")
            optimizer, begin = SGD(config), Checkpoint(Weights.draw(shape, config.seed), 0)
            server = start_server(job, optimizer, begin, pool)
            loop = StepLoop(optimizer, Schedule(job, 0), server, pool, lambda *_: TrainingError("not finite"))

            def steps(until: int, deadline: float) -> None:
                while loop.step < until or time.perf_counter() < deadline:
                    loop.begin_steps(plan)
                    if loop.apply_next(plan, time.perf_counter() + SECONDS) is None:
                        raise TrainingError(f"no answer within {SECONDS:g} s")

            steps(WARM, 0.0)
            before, began = traffic(), time.perf_counter()
            steps(WARM + LEAST, began + seconds)
            passed, made = time.perf_counter() - began, loop.step - WARM
            received, sent = (after - before for after, before in zip(traffic(), before, strict=True))
        for worker in workers:
            worker.join()
    return Found(passed / made, sent / made / WORKERS, received / made / WORKERS)


def work(place: str, server: protocol.Address, number: int, job: Job, packing: bool) -> None:
    enter(place)
    if not packing:
        packed_arrays.PACKING = 0.0
    check_arithmetic()
    dataset = Dataset(job.data / "train")
    shape = job.shape(dataset.manifest)
    client = WorkerClient(server, SECRET, hello(number), shape, job.timeouts)
    run_worker(Worker(dataset, job.plan(dataset.manifest), shape), client)


def hello(number: int) -> protocol.Hello:
    return protocol.Hello(number, protocol.VERSION, KNOWN_ANSWER, "", {})


def traffic() -> tuple[int, int]:
    """The bytes that this host has received and sent."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "net0":
            return int(counts.split()[0]), int(counts.split()[8])
    raise TrainingError("this process is on no host")


def errors_of(data: Path, batch: int, bits: int, seeds: int) -> list[float]:
    """The test errors after 5 epochs, in percent. One process has the same hash as any number of workers."""
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            config = config_of(batch, bits, seed).as_dict()
            del config["init_sha256"], config["begun_epochs"], config["transform_sha256"]
            result = ddmlp.fit(data, run=Path(folder, "run"), progress=False, report=False, **config)
            assert result.test_error is not None
            found.append(100 * result.test_error)
    return found


def table(data: Path, batch: int, seconds: float, seeds: int) -> list[list[str]]:
    """A table with a header row."""
    rows = [["bits", *(f"bytes a step, {way}" for way in ("down", "up")), *LINKS, "test error"]]
    for label, (bits, packing) in SENT.items():
        config = config_of(batch, bits)
        found = {name: in_process(measure, data, config, packing, rate, seconds) for name, rate in LINKS.items()}
        slow = found["100 Mbit/s"]
        speeds = [f"{batch / each.seconds:,.0f}" for each in found.values()]
        errors = errors_of(data, batch, bits, seeds)
        error = f"{statistics.mean(errors):.2f} ± {statistics.pstdev(errors):.2f} %"
        rows.append([label, f"{slow.down:,.0f}", f"{slow.up:,.0f}", *speeds, error])
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m tools.benchmarks.slow_links", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the datasets train/ and test/ of MNIST")
    parser.add_argument("--fast", action="store_true", help="only to try it: few steps, and one seed")
    args = parser.parse_args(arguments)
    if reason := shaped_network.why_not():
        raise ConfigError(f"links cannot be shaped here: {reason}")
    for batch, (microbatch, lr) in BATCHES.items():
        print(f"Batch {batch} in microbatches of {microbatch}, learning rate {lr:g}; rows/s:\n")
        lines = table(args.data.resolve(), batch, 0.0 if args.fast else 5.0, 1 if args.fast else SEEDS)
        for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]]:
            print("| " + " | ".join(line) + " |", flush=True)
        print()
    return 0


if __name__ == "__main__":
    command(main)
