"""PyTorch's DistributedDataParallel on gloo: two processes, one thread each, each with half of a step's rows."""

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ddmlp.nn.weights import Weights
from tools.benchmarks.peers.baseline import Rows
from tools.benchmarks.peers.pytorch import PyTorch

PROCESSES = 2


def clock() -> float:
    """Return the clock of the first process in all processes, so that they stop after the same step."""
    now = torch.tensor(time.perf_counter(), dtype=torch.float64)
    distributed.broadcast(now, 0)
    return float(now)


class DDP(PyTorch):
    """Process number `rank` of the group whose rendezvous is the file `rendezvous`."""

    clock = staticmethod(clock)

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float, rank: int, rendezvous: Path) -> None:
        torch.set_num_threads(1)
        distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=PROCESSES)
        self._rank, self._each = rank, batch // PROCESSES
        super().__init__(rows, weights, self._each, rate, wrap=DistributedDataParallel)

    def train(self, order: NDArray[np.intp]) -> None:
        """Train on this process's part of every step."""
        whole = len(order) // (PROCESSES * self._each) * PROCESSES * self._each
        super().train(order[:whole].reshape(-1, PROCESSES, self._each)[:, self._rank].ravel())

    def close(self) -> None:
        distributed.barrier()  # no process leaves while another may wait for it
        distributed.destroy_process_group()
