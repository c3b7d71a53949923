"""Evaluation: confusion matrix, error and cross-entropy of weights on rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights

EVALUATE_ROWS = 512  # read at a time


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Parameters
    ----------
    confusion : (classes, classes) int64
        Number of rows by true class (rows) and predicted class (columns).
    cross_entropy
        Mean error E of a row, in nats.
    wrong : (mistakes,) intp
        Numbers of the misclassified rows, ascending.

    Examples
    --------
    >>> found = Evaluation(np.array([[5, 1], [2, 2]]), 0.5, np.array([2, 3, 7]))
    >>> found.rows, found.mistakes, found.error
    (10, 3, 0.3)
    """

    confusion: NDArray[np.int64]
    cross_entropy: float
    wrong: NDArray[np.intp]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.confusion.sum())

    @property
    def mistakes(self) -> int:
        """Number of misclassified rows."""
        return self.rows - int(np.trace(self.confusion))

    @property
    def error(self) -> float:
        """The fraction of rows that are misclassified."""
        return self.mistakes / self.rows


def evaluate(weights: Weights, dataset: Dataset) -> Evaluation:
    """Classify every row of a dataset, and compare with the labels.

    Raises
    ------
    RunError
        If the network does not fit the dataset.
    DatasetError
        If the dataset cannot be read.
    MachineError
        If this machine computes other bits than all others.
    """
    check_fit(weights.shape, dataset)
    begins = range(0, len(dataset), EVALUATE_ROWS)
    lots = (np.arange(begin, min(begin + EVALUATE_ROWS, len(dataset))) for begin in begins)
    return evaluate_rows(weights, map(dataset.gather, lots))


def evaluate_rows(weights: Weights, lots: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Evaluation:
    """Classify rows, and compare with their labels.

    Parameters
    ----------
    weights
        Weights of a network that fits the rows.
    lots
        Pixels (rows, m) uint8 and labels (rows,) uint8, EVALUATE_ROWS at a time; the last lot may be smaller.
    """
    from ddmlp.nn.known_answer import check_arithmetic  # imported late: not every report needs the compiler
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
            f"{manifest.pixels} pixels per row and {manifest.classes} classes"
        )
