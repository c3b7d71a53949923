"""What a model makes of each row of a dataset: the confusion matrix, and the mistakes it is surest of."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddmlp.dataset import Dataset
from ddmlp.evaluation import ROWS, check_fit
from ddmlp.inputs import Loader
from ddmlp.model import Model
from ddmlp.network import Network
from ddmlp.numerics import pin

MISTAKES = 12


@dataclass(frozen=True)
class Mistake:
    """A row that was recognised wrongly. image: (height, width) uint8; probabilities: (classes,)."""

    row: int
    truth: int
    image: NDArray[np.uint8]
    probabilities: NDArray[np.floating]

    @property
    def recognised(self) -> int:
        return int(self.probabilities.argmax())


@dataclass(frozen=True)
class Recognition:
    """confusion: (classes, classes), rows by true class and columns by recognised class; mistakes: the MISTAKES most
    confident ones, the surest first."""

    confusion: NDArray[np.int64]
    mistakes: list[Mistake]

    @property
    def rows(self) -> int:
        return int(self.confusion.sum())

    @property
    def wrong(self) -> int:
        return self.rows - int(np.trace(self.confusion))


def recognise(model: Model, dataset: Dataset) -> Recognition:
    """Recognise every row, in the same batches as `evaluation`, so that it comes to the same mistakes; raises RunError
    where the model does not fit."""
    shape, dtype = model.weights.shape, model.weights.flat.dtype
    check_fit(shape, dataset)
    pin()
    network, loader = Network(shape, ROWS, dtype), Loader(ROWS, shape.inputs, dtype)
    pixels, labels = np.empty((ROWS, shape.inputs), np.uint8), np.empty(ROWS, np.uint8)
    confusion = np.zeros((shape.outputs, shape.outputs), np.int64)
    surest: list[tuple[float, Mistake]] = []
    for start in range(0, len(dataset), ROWS):
        rows = np.arange(start, min(start + ROWS, len(dataset)))
        count = len(rows)
        dataset.gather(rows, pixels, labels)
        y2 = network.forward(model.weights, *loader.load(pixels[:count]))
        predicted = y2.argmax(axis=1)
        np.add.at(confusion, (labels[:count], predicted), 1)
        wrong = np.flatnonzero(predicted != labels[:count])
        found = [
            (
                float(y2[i, predicted[i]]),
                Mistake(start + i, int(labels[i]), pixels[i].reshape(model.image_shape).copy(), y2[i].copy()),
            )
            for i in wrong.tolist()
        ]
        surest = heapq.nlargest(MISTAKES, surest + found, key=lambda each: each[0])
    return Recognition(confusion, [mistake for _, mistake in surest])
