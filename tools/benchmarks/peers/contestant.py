"""A contestant: someone else's way of training the same network on the same rows."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tools.benchmarks.rows import Rows


class Contestant(Protocol):
    """Made of the rows, initial weights, the rows of a step and a learning rate; W -= rate * the mean gradient."""

    rate: float  # read at each call of `train`, where the library lets it be changed

    def train(self, order: NDArray[np.intp]) -> None:
        """Train once on the rows of these numbers, in this order, cut into steps."""

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of the classes (rows, o), for rows of pixels (rows, m)."""


def error(contestant: Contestant, rows: Rows) -> float:
    """The mean of E = -ln y2(c) over these rows."""
    y2 = contestant.probabilities(rows.pixels)[np.arange(len(rows.labels)), rows.labels]
    return float(-np.log(np.maximum(y2, np.finfo(y2.dtype).tiny)).mean())


def accuracy(contestant: Contestant, rows: Rows) -> float:
    """The fraction of these rows that are recognised rightly."""
    return float((contestant.probabilities(rows.pixels).argmax(axis=1) == rows.labels).mean())
