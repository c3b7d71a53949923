"""PyTorch's all-reduce on gloo: two processes, which both add the gradients and update their own weights."""

from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import distributed

from ddmlp.nn.weights import Floats

PROCESSES = 2


class AllReduce:
    """Process number `rank` of the group whose rendezvous is the file `rendezvous`. Its gradient is its weights."""

    def __init__(self, weights: Floats, rate: float, rank: int, rendezvous: Path) -> None:
        torch.set_num_threads(1)
        distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=PROCESSES)
        self._weights, self._gradient = torch.tensor(weights), torch.empty(weights.size)
        self._rate = rate

    def steps(self, count: int) -> None:
        for _ in range(count):
            self._gradient.copy_(self._weights)
            distributed.all_reduce(self._gradient)
            self._weights.add_(self._gradient, alpha=-self._rate)


class Group:
    """Both processes: this one, and another that does as many steps as this one."""

    def __init__(self, weights: Floats, rate: float, rendezvous: Path) -> None:
        context = get_context("spawn")
        self._pipe, end = context.Pipe()
        self._other = context.Process(target=_follow, args=(end, weights, rate, rendezvous))
        self._other.start()
        end.close()
        self._own = AllReduce(weights, rate, 0, rendezvous)

    def steps(self, count: int) -> None:
        self._pipe.send(count)
        self._own.steps(count)

    def close(self) -> None:
        self._pipe.close()
        self._other.join()
        distributed.destroy_process_group()


def _follow(pipe: Connection, weights: Floats, rate: float, rendezvous: Path) -> None:
    """Be the other process, until the pipe is closed."""
    own = AllReduce(weights, rate, 1, rendezvous)
    try:
        while True:
            own.steps(pipe.recv())
    except EOFError:
        distributed.destroy_process_group()
