"""A model's most confident mistakes and most frequent confusions."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.inference.model import PREDICT_ROWS, Model

MAX_MISTAKES = 12
MAX_CLASSES = 10  # the most probable classes of a mistake, in addition to the true one
MAX_CONFUSIONS = 20


@dataclass(frozen=True)
class Mistake:
    """A misclassified row.

    Parameters
    ----------
    row
        Its number in the dataset.
    truth
        Its true class.
    image : (height, width) uint8
        Its pixels.
    probabilities : (classes,) float32
        The probability of each class.
    """

    row: int
    truth: int
    image: NDArray[np.uint8]
    probabilities: NDArray[np.floating]

    @property
    def recognised(self) -> int:
        """The predicted class."""
        return int(self.probabilities.argmax())

    @property
    def confidence(self) -> float:
        """The probability of the predicted class."""
        return float(self.probabilities.max())

    @property
    def shown(self) -> dict[int, float]:
        """The probabilities of the MAX_CLASSES most probable classes and of the true class, in order of class."""
        order = (-self.probabilities).argsort(kind="stable").tolist()
        return {each: float(self.probabilities[each]) for each in sorted({*order[:MAX_CLASSES], self.truth})}


def most_confident(model: Model, dataset: Dataset, wrong: NDArray[np.intp]) -> list[Mistake]:
    """Return the MAX_MISTAKES most confident mistakes among the rows `wrong`, the most confident first."""
    kept: list[Mistake] = []
    for start in range(0, len(wrong), PREDICT_ROWS):
        rows = wrong[start : start + PREDICT_ROWS]
        pixels, labels = dataset.gather(rows)
        images = pixels.reshape(-1, *model.image_shape)
        lot = zip(rows.tolist(), labels.tolist(), images, model.predict_proba(images), strict=True)
        kept = heapq.nlargest(
            MAX_MISTAKES, [*kept, *(Mistake(*each) for each in lot)], key=lambda each: each.confidence
        )
    return kept


def most_frequent(confusion: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return the MAX_CONFUSIONS most frequent confusions of a confusion matrix: (true class, predicted class, rows).

    Examples
    --------
    >>> most_frequent(np.array([[9, 1], [2, 8]]))
    [(1, 0, 2), (0, 1, 1)]
    """
    counts = confusion.copy()
    np.fill_diagonal(counts, 0)
    places = (-counts).argsort(axis=None, kind="stable")[:MAX_CONFUSIONS]
    pairs = [divmod(int(place), len(counts)) for place in places]
    return [(true, other, int(counts[true, other])) for true, other in pairs if counts[true, other]]
