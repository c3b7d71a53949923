"""Arrays as pictures: PNG in data: URIs, which need no file beside the page."""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddmlp.inference.model import Model

MAX_UNITS = 100
MAX_SHEET_PIXELS = 250_000  # of a sheet
GAP = 2  # pixels
POSITIVE, NEGATIVE = (213, 94, 0), (0, 144, 208)  # orange and blue, which colour-blind people can tell apart
MIDDLE = 128


class FirstLayer(NamedTuple):
    """uri: the picture; shown: how many of the `hidden` units are in it."""

    uri: str
    shown: int
    hidden: int


def digit(image: NDArray[np.uint8]) -> str:
    """An image (height, width) as it is, ink white on black."""
    return _uri(Image.fromarray(image))


def first_layer(model: Model) -> FirstLayer:
    """The weights of each hidden unit as an image: orange above zero, blue below, transparent at zero, so that it can
    be seen on any ground.

    The units with the largest weights to the outputs (by their norm) come first. All are on one scale.
    """
    weights, (height, width) = model.weights, model.image_shape
    hidden = weights.shape.hidden
    shown = max(1, min(MAX_UNITS, hidden, MAX_SHEET_PIXELS // (height * width)))
    columns = math.ceil(math.sqrt(shown * height / width))
    lines = -(-shown // columns)
    largest = np.argsort(-np.linalg.norm(weights.w2, axis=1), kind="stable")[:shown]
    chosen = weights.w1[:, largest].T
    # A few outliers would leave all others pale.
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
