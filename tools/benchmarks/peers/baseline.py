"""Baselines: other ways to train the same network on the same rows."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from ddmlp.data.dataset import Dataset
from ddmlp.nn.weights import Floats, Shape, Weights
from tools.benchmarks.benchmark import per_second

# The class of each baseline, imported on demand, and the package that it needs.
REGISTRY = {
    "dense bound": ("bound:Bound", "numpy"),
    "sparse bound": ("sparse_bound:SparseBound", "numba"),
    "NumPy, dense": ("dense:Dense", "numpy"),
    "PyTorch": ("pytorch:PyTorch", "torch"),
    "scikit-learn": ("scikit:Scikit", "sklearn"),
    "PyTorch DDP": ("ddp:DDP", "torch"),
    "Ray's pattern": ("ray_pattern:RayPattern", "ray"),
}
RATE = 0.1
CHUNK_STEPS = 50  # steps per call of `train`, so that the cost of a call does not matter


@cache
def one_blas_thread() -> None:
    """Limit BLAS to one thread in this process from now on, because ddmlp's process has one, too."""
    ThreadpoolController().limit(limits=1, user_api="blas")


class Rows(NamedTuple):
    """pixels: (rows, m) uint8; labels: (rows,) uint8."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @classmethod
    def load(cls, path: Path) -> "Rows":
        """Load all rows of the dataset in folder `path`."""
        dataset = Dataset(path)
        return cls(*dataset.gather(np.arange(len(dataset))))

    def first(self, count: int) -> "Rows":
        return Rows(self.pixels[:count], self.labels[:count])

    def shape(self, hidden: int) -> Shape:
        """Return the shape of a network for these rows."""
        return Shape(self.pixels.shape[1], hidden, int(self.labels.max()) + 1)


class Baseline(ABC):
    """A way of training, given rows, initial weights, the rows of a step and a learning rate.

    The update is W -= rate * mean gradient.
    """

    rate: float  # read at each call of `train`, if the library can change it
    clock: Callable[[], float] = staticmethod(time.perf_counter)

    @abstractmethod
    def train(self, order: NDArray[np.intp]) -> None:
        """Train once on the rows with these numbers, in this order, in steps of `batch` rows."""

    def close(self) -> None:  # noqa: B027  # optional
        """Release resources."""

    def accuracy(self, rows: Rows) -> float:
        """Return the fraction of rows that are classified correctly, if the baseline supports this."""
        raise NotImplementedError


def matrices(shape: Shape, values: Floats) -> tuple[Floats, Floats]:
    """Return W1 (m, n) and W2 (n, o), as contiguous views of `Weights.values`."""
    m, n, o = shape
    return values[: m * n].reshape(m, n), values[m * n :].reshape(n, o)


def scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pixels as inputs from 0 to 1."""
    return pixels * np.float32(1 / 255)


def available(name: str) -> bool:
    """Whether the package that this baseline needs is installed."""
    return find_spec(REGISTRY[name][1]) is not None


def baseline(name: str) -> Callable[..., Baseline]:
    """Return the class of a baseline."""
    found: Callable[..., Baseline] = resolve_name(f"tools.benchmarks.peers.{REGISTRY[name][0]}")
    return found


def speed(name: str, data: Path, hidden: int, batch: int, seconds: float, *more: Any) -> dict[str, float]:
    """Return the rows/s of a baseline in this process, measured for about `seconds`; `more` goes to its class."""
    rows = Rows.load(data / "train")
    orders = chunks(len(rows.labels), batch)
    with closing(baseline(name)(rows, Weights.draw(rows.shape(hidden), 0), batch, RATE, *more)) as peer:
        return {"rows/s": len(next(orders)) * per_second(lambda: peer.train(next(orders)), seconds, peer.clock)}


def chunks(rows: int, batch: int) -> Iterator[NDArray[np.intp]]:
    """Yield row numbers of endless epochs, each in another random order, in equal chunks of whole steps."""
    rng, size = np.random.default_rng(0), min(CHUNK_STEPS, max(1, rows // batch)) * batch
    while True:
        order = rng.permutation(rows)
        for start in range(0, max(1, rows - size + 1), size):
            yield order[start : start + size]
