"""PyTorch on the CPU, in the usual way: Linear, Sigmoid, Linear, CrossEntropyLoss and SGD."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ddmlp.nn.weights import Weights
from tools.benchmarks.peers.baseline import Baseline, Rows, scaled


class PyTorch(Baseline):
    """Keeps all data in one float32 tensor, and uses the fused update: the fastest of the usual ways.

    `wrap` is applied to the module before training.
    """

    def __init__(
        self, rows: Rows, weights: Weights, batch: int, rate: float, wrap: Callable[[Any], Any] = lambda net: net
    ) -> None:
        m, n, o = weights.shape
        self._x, self._labels = torch.from_numpy(scaled(rows.pixels)), torch.from_numpy(rows.labels).long()
        self._batch, self.rate = batch, rate
        self._net = nn.Sequential(nn.Linear(m, n, bias=False), nn.Sigmoid(), nn.Linear(n, o, bias=False))
        with torch.no_grad():  # Linear stores W^T
            self._net[0].weight.copy_(torch.from_numpy(weights.w1.T))
            self._net[2].weight.copy_(torch.from_numpy(weights.w2.T))
        self._trained = wrap(self._net)
        self._error = nn.CrossEntropyLoss()
        self._sgd = torch.optim.SGD(self._net.parameters(), lr=rate, fused=True)

    @property
    def weights(self) -> Weights:
        w1, w2 = (self._net[layer].weight.detach().numpy().T for layer in (0, 2))
        return Weights.join(w1, w2)

    def train(self, order: NDArray[np.intp]) -> None:
        self._sgd.param_groups[0]["lr"] = self.rate
        for chosen in torch.from_numpy(order).split(self._batch):
            x, labels = self._x.index_select(0, chosen), self._labels.index_select(0, chosen)
            self._sgd.zero_grad()
            self._error(self._trained(x), labels).backward()
            self._sgd.step()

    def accuracy(self, rows: Rows) -> float:
        with torch.inference_mode():
            found = self._net(torch.from_numpy(rows.pixels).float() / 255).argmax(dim=1)
        return float((found.numpy() == rows.labels).mean())
