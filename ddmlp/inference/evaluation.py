"""How well weights recognise a dataset."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights

EVALUATE_ROWS = 512  # that are read at a time


@dataclass(frozen=True)
class Evaluation:
    """confusion: (classes, classes), rows by true class and columns by recognised class; cross_entropy: the mean
    error E of a row, in nats; wrong: the rows that are recognised wrongly, ascending."""

    confusion: NDArray[np.int64]
    cross_entropy: float
    wrong: NDArray[np.intp]

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


def evaluate(weights: Weights, dataset: Dataset) -> Evaluation:
    """Recognise every row of `dataset`; raises RunError if the network does not fit it."""
    check_fit(weights.shape, dataset)
    begins = range(0, len(dataset), EVALUATE_ROWS)
    lots = (np.arange(begin, min(begin + EVALUATE_ROWS, len(dataset))) for begin in begins)
    return evaluate_rows(weights, map(dataset.gather, lots))


def evaluate_rows(weights: Weights, lots: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Evaluation:
    """Recognise pixels (rows, m), and compare with their labels (rows,), which the network must fit: lot by lot, of
    EVALUATE_ROWS each but the last."""
    from ddmlp.nn.known_answer import check_arithmetic  # with the compiler, which not every report needs
    from ddmlp.nn.network import Network

    check_arithmetic()
    network = Network(weights.shape)
    classes = weights.shape.outputs
    confusion, total, wrong = np.zeros((classes, classes), np.int64), 0.0, []
    begin = 0
    for pixels, labels in lots:
        found = network.recognise(weights, pixels, labels)
        total += found.error
        predicted = found.predicted
        np.add.at(confusion, (labels, predicted), 1)
        wrong.append(begin + np.flatnonzero(predicted != labels))
        begin += len(labels)
    return Evaluation(confusion, total / begin, np.concatenate(wrong))


def check_fit(shape: Shape, dataset: Dataset) -> None:
    """Raise RunError if a network of `shape` cannot take the rows of `dataset`."""
    manifest = dataset.manifest
    if shape.inputs != manifest.pixels or shape.outputs < manifest.classes:
        raise RunError(
            f"the model has {shape.inputs} inputs and {shape.outputs} classes, but {dataset.path} has "
            f"{manifest.pixels} pixels a row and {manifest.classes} classes"
        )
