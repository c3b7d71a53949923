"""The mistakes that a model is surest of."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.inference.model import Model
from ddmlp.inference.recogniser import ROWS, Recogniser

SHOWN = 12


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
        """The probability of what it was taken for."""
        return float(self.probabilities.max())


def surest(model: Model, dataset: Dataset, wrong: NDArray[np.intp]) -> list[Mistake]:
    """The SHOWN most confident mistakes among the rows that are recognised wrongly, the most confident first."""
    recognise = Recogniser(model)
    kept: list[Mistake] = []
    for start in range(0, len(wrong), ROWS):
        rows = wrong[start : start + ROWS]
        pixels, labels = dataset.gather(rows)
        images = pixels.reshape(-1, *model.image_shape)
        lot = zip(rows.tolist(), labels.tolist(), images, recognise(images), strict=True)
        kept = heapq.nlargest(SHOWN, [*kept, *(Mistake(*each) for each in lot)], key=lambda each: each.confidence)
    return kept
