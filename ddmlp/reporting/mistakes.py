"""What a model recognises wrongly: its most confident mistakes, and its most frequent confusions."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.inference.model import PREDICT_ROWS, Model

MAX_MISTAKES = 12
MAX_CLASSES = 10  # of a mistake: the most probable ones, and the truth
MAX_CONFUSIONS = 20


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

    @property
    def confidence(self) -> float:
        """The probability of the class that was recognised."""
        return float(self.probabilities.max())

    @property
    def shown(self) -> dict[int, float]:
        """The probabilities of the MAX_CLASSES most probable classes and of the truth, by class, ascending."""
        order = (-self.probabilities).argsort(kind="stable").tolist()
        return {each: float(self.probabilities[each]) for each in sorted({*order[:MAX_CLASSES], self.truth})}


def most_confident(model: Model, dataset: Dataset, wrong: NDArray[np.intp]) -> list[Mistake]:
    """The MAX_MISTAKES most confident mistakes among the rows `wrong`, the most confident first."""
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
    """The MAX_CONFUSIONS most frequent mistakes of a confusion matrix: (true class, recognised class, rows)."""
    counts = confusion.copy()
    np.fill_diagonal(counts, 0)
    places = (-counts).argsort(axis=None, kind="stable")[:MAX_CONFUSIONS]
    pairs = [divmod(int(place), len(counts)) for place in places]
    return [(true, other, int(counts[true, other])) for true, other in pairs if counts[true, other]]
