"""How well weights recognise a dataset: python -m ddmlp.evaluate --model RUN_OR_NPZ --data DIR"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.dataset import Dataset
from ddmlp.errors import RunError
from ddmlp.inputs import Loader
from ddmlp.manifest import NAME
from ddmlp.model import load_weights
from ddmlp.network import Network, Shape, Weights
from ddmlp.numerics import pin
from ddmlp.terminal import Parser, command

ROWS = 500  # at a time; a number of its own, so that an error does not depend on the batch trained with


@dataclass(frozen=True)
class Evaluation:
    """confusion: (classes, classes), rows by true class and columns by recognised class; cross_entropy: the mean
    error E of a row, in nats."""

    confusion: NDArray[np.int64]
    cross_entropy: float

    @property
    def rows(self) -> int:
        return int(self.confusion.sum())

    @property
    def mistakes(self) -> int:
        return self.rows - int(np.trace(self.confusion))

    @property
    def error(self) -> float:
        """The fraction of rows that are recognised wrongly."""
        return self.mistakes / self.rows

    def about(self) -> dict[str, Any]:
        """What a result says of it, as JSON."""
        return {"test_error": self.error, "test_cross_entropy": self.cross_entropy, "test_rows": self.rows}


def evaluate(weights: Weights, dataset: Dataset) -> Evaluation:
    """Recognise every row of `dataset`; raises RunError where the network does not fit it."""
    check_fit(weights.shape, dataset)
    pin()
    dtype = weights.flat.dtype
    network, loader = Network(weights.shape, ROWS, dtype), Loader(ROWS, weights.shape.inputs, dtype)
    pixels, labels = np.empty((ROWS, weights.shape.inputs), np.uint8), np.empty(ROWS, np.uint8)
    classes = weights.shape.outputs
    confusion, total = np.zeros((classes, classes), np.int64), 0.0
    for start in range(0, len(dataset), ROWS):
        rows = np.arange(start, min(start + ROWS, len(dataset)))
        count = len(rows)
        dataset.gather(rows, pixels, labels)
        x, live = loader.load(pixels[:count])
        error, _ = network.score(weights, x, labels[:count], live)
        total += error
        np.add.at(confusion, (labels[:count], network.predicted[:count]), 1)
    return Evaluation(confusion, total / len(dataset))


def check_fit(shape: Shape, dataset: Dataset) -> None:
    """Raise RunError where a network of `shape` cannot take the rows of `dataset`."""
    manifest = dataset.manifest
    if shape.inputs != manifest.pixels or shape.outputs < manifest.classes:
        raise RunError(
            f"the model has {shape.inputs} inputs and {shape.outputs} classes, but {dataset.path} has "
            f"{manifest.pixels} pixels a row and {manifest.classes} classes"
        )


def table(confusion: NDArray[np.int64]) -> str:
    """A confusion matrix as text."""
    classes = len(confusion)
    heading = ["", *map(str, range(classes))]
    lines = [[str(true), *(str(count or ".") for count in row)] for true, row in enumerate(confusion.tolist())]
    width = max(len(cell) for line in [heading, *lines] for cell in line) + 1
    text = ("".join(f"{cell:>{width}}" for cell in line) for line in [heading, *lines])
    return "\n".join(["true class by row, recognised class by column", *text])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="python -m ddmlp.evaluate", description="Evaluate a model on a dataset.")
    parser.add_argument("--model", type=Path, required=True, help="a run's folder, or an .npz file with W1 and W2")
    parser.add_argument("--data", type=Path, default=Path("data"), help="a dataset, or a folder with test/ "
                        "(default: %(default)s)")  # fmt: skip
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    path = args.data if (args.data / NAME).exists() else args.data / "test"
    dataset = Dataset(path)
    dataset.verify()
    found = evaluate(load_weights(args.model), dataset)
    print(table(found.confusion))
    print(f"\nerror          {found.error:.2%} ({found.mistakes} of {found.rows} rows)")
    print(f"cross-entropy  {found.cross_entropy:.4f} nats a row")


if __name__ == "__main__":
    command(main)
