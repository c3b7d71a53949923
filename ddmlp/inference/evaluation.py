"""Evaluation: confusion matrix, error and cross-entropy of weights, or of a committee, on rows."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.errors import RunError
from ddmlp.inference.committee import Committee
from ddmlp.nn.weights import Weights

if TYPE_CHECKING:
    from ddmlp.nn.network import Recognised

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


def evaluate(model: Weights | Committee, dataset: Dataset) -> Evaluation:
    """Classify every row of a dataset, and compare with the labels.

    Raises
    ------
    RunError
        If the model does not fit the dataset.
    DatasetError
        If the dataset cannot be read.
    MachineError
        If this machine computes other bits than all others.
    """
    check_fit(model, dataset)
    begins = range(0, len(dataset), EVALUATE_ROWS)
    lots = (np.arange(begin, min(begin + EVALUATE_ROWS, len(dataset))) for begin in begins)
    return evaluate_rows(model, map(dataset.gather, lots))


def evaluate_rows(
    model: Weights | Committee, lots: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]
) -> Evaluation:
    """Classify rows, and compare with their labels.

    Parameters
    ----------
    model
        The weights of a network that fits the rows, or a committee that does.
    lots
        Pixels (rows, m) uint8 and labels (rows,) uint8, EVALUATE_ROWS at a time; the last lot may be smaller.
    """
    from ddmlp.nn.known_answer import check_arithmetic  # imported late: not every report needs the compiler
    from ddmlp.nn.network import Network

    check_arithmetic()
    recognise: Callable[..., Recognised]
    if isinstance(model, Weights):
        recognise = partial(Network(model.shape).recognise, model)
    else:
        recognise = partial(_recognise, model)
    _, classes = sizes(model)
    confusion, total, wrong = np.zeros((classes, classes), np.int64), 0.0, []
    begin = 0
    for pixels, labels in lots:
        found = recognise(pixels, labels)
        total += found.error
        predicted = found.predicted
        np.add.at(confusion, (labels, predicted), 1)
        wrong.append(begin + np.flatnonzero(predicted != labels))
        begin += len(labels)
    return Evaluation(confusion, total / begin, np.concatenate(wrong))


def sizes(model: Weights | Committee) -> tuple[int, int]:
    """The number of inputs, and of classes."""
    return model.shape[::2] if isinstance(model, Weights) else (math.prod(model.image_shape), model.classes)


def check_fit(model: Weights | Committee, dataset: Dataset) -> None:
    """Raise RunError if a model cannot take the rows of `dataset`."""
    manifest, (inputs, classes) = dataset.manifest, sizes(model)
    if inputs != manifest.pixels or classes < manifest.classes:
        raise RunError(
            f"the model has {inputs} inputs and {classes} classes, but {dataset.path} has "
            f"{manifest.pixels} pixels per row and {manifest.classes} classes"
        )


def _recognise(committee: Committee, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> "Recognised":
    """Classify rows by a committee, as `Network.recognise` does by a network: E is -ln of the mean probability."""
    from ddmlp.nn.elementary import natural_logarithm
    from ddmlp.nn.network import Recognised

    probabilities = committee.predict_proba(pixels.reshape(len(pixels), *committee.image_shape))
    chosen = probabilities[np.arange(len(pixels)), labels].tolist()  # above 0: e^x has a lower limit
    error = math.fsum(natural_logarithm(max(1.0, 1 / each)) for each in chosen)
    return Recognised(probabilities, probabilities.argmax(axis=1), error)
