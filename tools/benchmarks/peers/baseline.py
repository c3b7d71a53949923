"""A baseline: another way of training the same network on the same rows."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Shape, Weights
from tools.benchmarks.benchmark import installed, per_second

# Module, class and package of each; imported only when asked for.
REGISTRY = {
    "bound": ("bound", "Bound", ()),
    "NumPy, dense": ("dense", "Dense", ()),
    "PyTorch": ("pytorch", "PyTorch", ("torch",)),
    "scikit-learn": ("scikit", "Scikit", ("sklearn",)),
    "PyTorch DDP": ("ddp", "DDP", ("torch",)),
    "Ray's pattern": ("ray_pattern", "RayPattern", ()),
}
RATE = 0.1
STRETCH = 1000  # steps between looks at the clock, or an epoch: what a call costs is no step's cost
SAMPLE = 1000  # rows that the error is taken of


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

    def scaled(self) -> NDArray[np.float32]:
        """The pixels as inputs 0..1: (rows, m)."""
        return self.pixels * np.float32(1 / 255)

    def shape(self, hidden: int) -> Shape:
        """Of a network for these rows."""
        return Shape(self.pixels.shape[1], hidden, int(self.labels.max()) + 1)


class Baseline(ABC):
    """Made of rows, initial weights, rows of a step, and a learning rate; W -= rate * the mean gradient."""

    rate: float  # read at each call of `train`, if the library lets it be changed
    learns = True
    clock: Callable[[], float] = staticmethod(time.perf_counter)

    @abstractmethod
    def train(self, order: NDArray[np.intp]) -> None:
        """Train once on the rows of these numbers, in this order, cut into steps."""

    @abstractmethod
    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of the classes (rows, o), for rows of pixels (rows, m)."""

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of what it holds."""

    def error(self, rows: Rows) -> float:
        """The mean of E = -ln y2(c) over these rows."""
        y2 = self.probabilities(rows.pixels)[np.arange(len(rows.labels)), rows.labels]
        return float(-np.log(np.maximum(y2, np.finfo(y2.dtype).tiny)).mean())

    def accuracy(self, rows: Rows) -> float:
        """The fraction of these rows that are recognised."""
        return float((self.probabilities(rows.pixels).argmax(axis=1) == rows.labels).mean())


def available(name: str) -> bool:
    """Whether what this baseline needs is installed."""
    return installed(*REGISTRY[name][2])


def baseline(name: str) -> Callable[..., Baseline]:
    """The class of this name."""
    module, kind, _ = REGISTRY[name]
    found: Callable[..., Baseline] = getattr(import_module(f"tools.benchmarks.peers.{module}"), kind)
    return found


def speed(name: str, data: Path, hidden: int, batch: int, seconds: float, *more: Any) -> dict[str, float]:
    """rows/s of a baseline in this process, which takes `more` besides; raises TrainingError if it does not learn."""
    rows = Rows.load(data / "train")
    peer = baseline(name)(rows, Weights.draw(rows.shape(hidden), 0), batch, RATE, *more)
    try:
        return {"rows/s": learning_speed(peer, rows, batch, seconds)}
    finally:
        peer.close()


def learning_speed(peer: Baseline, rows: Rows, batch: int, seconds: float) -> float:
    """rows/s of training, for about so many seconds. What does not learn is not measured: raises TrainingError if the
    error has not fallen."""
    sample, orders = rows.first(SAMPLE), stretches(len(rows.labels), batch)
    peer.train(np.arange(batch))  # one step, for a baseline that has no weights before
    before = peer.error(sample) if peer.learns else 0.0

    def stretch() -> int:
        order = next(orders)
        peer.train(order)
        return len(order)

    found = per_second(stretch, seconds, peer.clock)
    if peer.learns and not (after := peer.error(sample)) < before:
        raise TrainingError(f"{type(peer).__name__} learns nothing: its error went from {before:.3f} to {after:.3f}")
    return found


def stretches(rows: int, batch: int, seed: int = 0) -> Iterator[NDArray[np.intp]]:
    """Epochs without end, each in an order of its own, cut into stretches of whole steps."""
    rng = np.random.default_rng(seed)
    size = min(STRETCH, max(1, rows // batch)) * batch
    while True:
        order = rng.permutation(rows)
        for start in range(0, max(1, rows - size + 1), size):
            yield order[start : start + size]
