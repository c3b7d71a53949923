"""Arrays as pictures: PNG in data: URIs, which need no file beside the page."""

import base64
import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from ddmlp.inference.model import Model
from ddmlp.reporting.style import BLUE, ORANGE

UNITS = 100
SHEET_PIXELS = 250_000
GAP = 2  # pixels
NEGATIVE, POSITIVE = (ImageColor.getrgb(colour) for colour in (BLUE, ORANGE))
MIDDLE = 128


def digit(image: NDArray[np.uint8]) -> str:
    """An image (height, width) as it is, ink white on black."""
    return _uri(Image.fromarray(image))


def units_shown(model: Model) -> int:
    """How many units of the hidden layer there is room for on a sheet."""
    return max(1, min(UNITS, model.weights.shape.hidden, SHEET_PIXELS // math.prod(model.image_shape)))


def first_layer(model: Model) -> str:
    """What each hidden unit looks for: its weights, orange above zero, blue below, and see-through at zero, so that it
    can be seen on any ground. The units with the largest weights to the outputs (by their norm), largest first, on one
    scale."""
    weights, (height, width) = model.weights, model.image_shape
    shown = units_shown(model)
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
    return _uri(picture, transparency=bytes(min(255, 2 * abs(level - MIDDLE)) for level in range(256)))


def _uri(picture: Image.Image, **how: bytes) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True, **how)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
