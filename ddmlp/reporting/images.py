"""Arrays as PNG pictures in data: URIs, so that the page needs no other file."""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddmlp.inference.model import Model

MAX_UNITS = 100
MAX_SHEET_PIXELS = 250_000
GAP = 2  # pixels
POSITIVE, NEGATIVE = (213, 94, 0), (0, 144, 208)  # orange and blue: colour-blind people can tell them apart
MIDDLE = 128


class FirstLayer(NamedTuple):
    """A picture of the first layer. uri: the picture; shown: the number of units in it, of `hidden`."""

    uri: str
    shown: int
    hidden: int


def digit(image: NDArray[np.uint8]) -> str:
    """Return the URI of an image (height, width) uint8, unchanged: white ink on black."""
    return _uri(Image.fromarray(image))


def first_layer(model: Model) -> FirstLayer:
    """Draw the weights of each hidden unit as an image: orange above zero, blue below, transparent at zero.

    The units with the largest output weights (by their norm) come first. All units have one scale.
    """
    weights, (height, width) = model.weights, model.image_shape
    hidden = weights.shape.hidden
    shown = max(1, min(MAX_UNITS, hidden, MAX_SHEET_PIXELS // (height * width)))
    columns = math.ceil(math.sqrt(shown * height / width))
    lines = -(-shown // columns)
    largest = np.argsort(-np.linalg.norm(weights.w2, axis=1), kind="stable")[:shown]
    chosen = weights.w1[:, largest].T
    # With the maximum as scale, a few outliers would make all others pale.
    scale = float(np.quantile(np.abs(chosen), 0.995)) or 1.0
    levels = MIDDLE + np.rint(np.clip(chosen / scale, -1, 1) * (MIDDLE - 1)).astype(np.int64)
    sheet = np.full((lines * (height + GAP) - GAP, columns * (width + GAP) - GAP), MIDDLE, np.uint8)
    for place, unit in enumerate(levels):
        top, left = (place // columns) * (height + GAP), (place % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = unit.reshape(height, width)
    picture = Image.fromarray(sheet).convert("P")
    picture.putpalette([part for level in range(256) for part in (POSITIVE if level > MIDDLE else NEGATIVE)])
    opacity = bytes(min(255, 2 * abs(level - MIDDLE)) for level in range(256))
    return FirstLayer(_uri(picture, transparency=opacity), shown, hidden)


def _uri(picture: Image.Image, **options: bytes) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
