"""Explains an answer: the hidden units and the pixels that it depends on."""

import math
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import RequestError
from ddmlp.inference.committee import Committee
from ddmlp.inference.model import Model
from ddmlp.serving.schemas import Explanation, HiddenUnit

UNITS = 6  # for the answer, and against it, at most: each with its weights
MAX_PIXELS = 1 << 14  # of an image, so that the numbers of an answer are at most MAX_PIXELS (2 UNITS + 1)


def explains(model: Model | Committee) -> TypeGuard[Model]:
    """Whether answers of this model can be explained: a committee is not, and large images are not."""
    return isinstance(model, Model) and math.prod(model.image_shape) <= MAX_PIXELS


def explained(model: Model | Committee, pixels: NDArray[np.uint8]) -> Explanation:
    """Explain the answer to an image, uint8 (height, width).

    Raises RequestError (422) if answers of this model cannot be explained.
    """
    if not explains(model):
        raise RequestError(422, f"answers of this model cannot be explained: expected one network, with images of at "
                           f"most {MAX_PIXELS:,} pixels; ask without explain")  # fmt: skip
    found = model.explain(pixels[None])
    hidden, contributions, saliency = found.hidden[0], found.contributions[0], found.saliency[0]
    if not np.isfinite(saliency).all():
        raise RequestError(422, "the answer cannot be explained: the model's weights are so large that the gradient is "
                           "not finite; ask without explain")  # fmt: skip

    def units(order: NDArray[np.intp]) -> list[HiddenUnit]:
        return [
            HiddenUnit(
                unit=int(unit),
                activation=float(hidden[unit]),
                contribution=float(contributions[unit]),
                weights=model.weights.w1[:, unit].reshape(model.image_shape).tolist(),
            )
            for unit in order[:UNITS]
        ]

    order = contributions.argsort(kind="stable")
    return Explanation(
        saliency=saliency.tolist(),
        supporting=units(order[contributions[order] > 0][::-1]),
        opposing=units(order[contributions[order] < 0]),
    )
