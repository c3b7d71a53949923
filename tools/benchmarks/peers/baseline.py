"""A baseline: another way of training the same network on the same rows."""

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

# Where the class of each is, imported only when asked for; and the optional package that it needs.
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
STRETCH = 50  # steps between looks at the clock, or an epoch: what a call costs is no step's cost


@cache
def one_blas_thread() -> None:
    """Hold BLAS to one thread in this process, for good: it is compared with what has one."""
    ThreadpoolController().limit(limits=1, user_api="blas")


class Rows(NamedTuple):
    """pixels: (rows, m) uint8; labels: (rows,) uint8."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @classmethod
    def load(cls, path: Path) -> "Rows":
        """Every row of the dataset in folder `path`."""
        dataset = Dataset(path)
        return cls(*dataset.gather(np.arange(len(dataset))))

    def first(self, count: int) -> "Rows":
        return Rows(self.pixels[:count], self.labels[:count])

    def shape(self, hidden: int) -> Shape:
        """Of a network for these rows."""
        return Shape(self.pixels.shape[1], hidden, int(self.labels.max()) + 1)


class Baseline(ABC):
    """Made of rows, initial weights, rows of a step, and a learning rate; W -= rate * the mean gradient."""

    rate: float  # read at each call of `train`, if the library lets it be changed
    clock: Callable[[], float] = staticmethod(time.perf_counter)

    @abstractmethod
    def train(self, order: NDArray[np.intp]) -> None:
        """Train once on the rows of these numbers, in this order, cut into steps."""

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of what it holds."""

    def accuracy(self, rows: Rows) -> float:
        """The fraction of these rows that are recognised, if it can be asked."""
        raise NotImplementedError


def matrices(shape: Shape, values: Floats) -> tuple[Floats, Floats]:
    """W1 (m, n) and W2 (n, o), as views of what `Weights.values` gives: nothing lies between their rows."""
    m, n, o = shape
    return values[: m * n].reshape(m, n), values[m * n :].reshape(n, o)


def scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels as inputs 0..1."""
    return pixels * np.float32(1 / 255)


def available(name: str) -> bool:
    """Whether what this baseline needs is installed."""
    return find_spec(REGISTRY[name][1]) is not None


def baseline(name: str) -> Callable[..., Baseline]:
    """The class of this name."""
    found: Callable[..., Baseline] = resolve_name(f"tools.benchmarks.peers.{REGISTRY[name][0]}")
    return found


def speed(name: str, data: Path, hidden: int, batch: int, seconds: float, *more: Any) -> dict[str, float]:
    """rows/s of a baseline in this process, which takes `more` besides, over about so many seconds."""
    rows = Rows.load(data / "train")
    orders = stretches(len(rows.labels), batch)
    with closing(baseline(name)(rows, Weights.draw(rows.shape(hidden), 0), batch, RATE, *more)) as peer:
        return {"rows/s": len(next(orders)) * per_second(lambda: peer.train(next(orders)), seconds, peer.clock)}


def stretches(rows: int, batch: int) -> Iterator[NDArray[np.intp]]:
    """Epochs without end, each in an order of its own, cut into equal stretches of whole steps."""
    rng, size = np.random.default_rng(0), min(STRETCH, max(1, rows // batch)) * batch
    while True:
        order = rng.permutation(rows)
        for start in range(0, max(1, rows - size + 1), size):
            yield order[start : start + size]
