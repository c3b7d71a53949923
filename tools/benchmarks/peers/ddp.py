"""PyTorch's DistributedDataParallel on gloo: two processes, one thread each, each with half of a step's rows.

python -m tools.benchmarks.peers.ddp DATA --hidden N --each B --seconds S prints rows/s and the mean error, as JSON.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ddmlp.cli.terminal import Parser, command
from ddmlp.nn.weights import Shape, Weights
from tools.benchmarks.peers.contestant import error
from tools.benchmarks.peers.pytorch import PyTorch
from tools.benchmarks.rows import Rows
from tools.benchmarks.stopwatch import RATE, SAMPLE, WARM_UP, check_learnt, stretches

PROCESSES = 2


@contextmanager
def group(rank: int, meeting: Path) -> Iterator[None]:
    """In the group of processes that meet at this file."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    try:
        yield
        distributed.barrier()  # nobody leaves while the other may still wait for him
    finally:
        distributed.destroy_process_group()


def share(order: NDArray[np.intp], rank: int, each: int) -> NDArray[np.intp]:
    """The rows of one process: of every PROCESSES * each rows in a step, its `each`."""
    return order[: len(order) // (PROCESSES * each) * PROCESSES * each].reshape(-1, PROCESSES, each)[:, rank].ravel()


def rows_per_second(peer: PyTorch, count: int, rank: int, each: int, seconds: float) -> float:
    """Of both processes, for at least so many seconds by the clock of the first, after a warm-up."""
    orders, batch = stretches(count, PROCESSES * each), PROCESSES * each  # the same in each process
    peer.train(share(next(orders)[: WARM_UP * batch], rank, each))
    distributed.barrier()
    done, start = 0, time.perf_counter()
    passed = torch.zeros(1, dtype=torch.float64)
    while float(passed) < seconds:
        order = share(next(orders), rank, each)
        peer.train(order)
        done += PROCESSES * len(order)
        passed[0] = time.perf_counter() - start
        distributed.broadcast(passed, 0)
    return done / float(passed)


def run(rank: int, meeting: Path, data: Path, hidden: int, each: int, seconds: float) -> None:
    """One of the processes; the first prints."""
    rows = Rows.load(data / "train")
    shape = Shape(rows.pixels.shape[1], hidden, int(rows.labels.max()) + 1)
    with group(rank, meeting):
        peer = PyTorch(rows, Weights.draw(shape, 0), each, RATE, wrap=DistributedDataParallel)
        before = error(peer, rows.first(SAMPLE))
        speed = rows_per_second(peer, len(rows.labels), rank, each, seconds)
        errors = [before, error(peer, rows.first(SAMPLE))]
    check_learnt("DistributedDataParallel", errors)
    if rank == 0:
        print(json.dumps({"rows_per_second": speed, "errors": errors}), flush=True)


def start(function: Callable[..., None], *arguments: object) -> None:
    """Run `function(rank, meeting, *arguments)` in every process."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_process, (function, Path(folder, "meeting"), *arguments), PROCESSES)


def _process(rank: int, function: Callable[..., None], *arguments: object) -> None:
    function(rank, *arguments)
    sys.stdout.flush()
    os._exit(0)  # threads of PyTorch now and then abort a process that has done its work and ends by itself


def main() -> None:
    parser = Parser(description="Time DistributedDataParallel; one line of JSON.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--each", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    start(run, args.data, args.hidden, args.each, args.seconds)


if __name__ == "__main__":
    command(main)
