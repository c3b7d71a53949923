"""The sparse bound: only the multiply-adds of the nonzero pixels of a step, without training."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ddmlp.nn.lanes import fma, item, load, store
from ddmlp.nn.weights import LANES, Floats, Weights, zeros
from tools.benchmarks.peers.baseline import Baseline, Rows, scaled

ROWS = 4096  # with precomputed lists, so that consecutive steps differ
BLOCK = 128  # columns per list; the matching rows of the other factor fit into the L1 cache


class Lists(NamedTuple):
    """The entries of sparse matrices, one per step, sorted by blocks of columns, then by rows.

    begins (steps + 1,): the first list of each step, and the number of lists; rows: the row of each list; starts: the
    first entry of each list, and the number of entries; columns, values: the column and the value of each entry.
    """

    begins: NDArray[np.intp]
    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: Floats

    @classmethod
    def from_dense(cls, x: Floats) -> "Lists":
        """Make the lists of the matrices x (steps, rows, columns)."""
        steps, rows, columns = x.nonzero()
        lists = (steps * -(-x.shape[2] // BLOCK) + columns // BLOCK) * x.shape[1] + rows
        order = lists.argsort(kind="stable")  # stable: keeps the order of the columns
        steps, rows, columns = steps[order], rows[order], columns[order]
        _, starts = np.unique(lists[order], return_index=True)
        begins = steps[starts].searchsorted(np.arange(len(x) + 1))
        return cls(begins, rows[starts], np.append(starts, len(rows)), columns, x[steps, rows, columns])


def _add_product(lists: Any, step: int, factor: Any, out: Any, width: int) -> None:
    """Compute out += x factor for the matrix x of a step; factor (columns, width) and out (rows, width) are flat."""
    begins, rows, starts, columns, values = lists
    for unit in range(0, width, LANES):
        for each in range(begins[step], begins[step + 1]):
            place = rows[each] * width + unit
            sums = load(out, place)
            for entry in range(item(starts, each), item(starts, each + 1)):
                sums = fma(item(values, entry), load(factor, item(columns, entry) * width + unit), sums)
            store(out, place, sums)


_add = njit(_add_product)


def _make_steps(steps: Any, by_row: Any, by_pixel: Any, w1: Any, z1: Any, d1: Any, slopes: Any, width: int) -> None:
    for step in steps:
        _add(by_row, step, w1, z1, width)
        _add(by_pixel, step, d1, slopes, width)


make_steps = njit(_make_steps)


class SparseBound(Baseline):
    """z1 += x W1 and dE/dW1 += x^T d1, in float32, on real rows with precomputed lists."""

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float) -> None:
        m, width = weights.shape.inputs, weights.shape.width
        self.rate, self._batch, self._width, self._next = rate, batch, width, 0
        count = max(1, min(ROWS, len(rows.labels)) // batch) * batch
        x = scaled(rows.first(count).pixels).reshape(-1, batch, m)
        self._steps, self._lists = len(x), (Lists.from_dense(x), Lists.from_dense(x.transpose(0, 2, 1)))
        self._w1, self.slopes = weights.flat[: m * width], zeros(m * width)
        self.z1, self.d1 = zeros(batch * width), zeros(batch * width)
        self.d1 += np.float32(0.5)

    def train(self, order: NDArray[np.intp]) -> None:
        """Compute the products once per step of these rows."""
        steps = (self._next + np.arange(len(order) // self._batch)) % self._steps
        self._next += len(steps)
        make_steps(steps, *self._lists, self._w1, self.z1, self.d1, self.slopes, self._width)
