"""Images to try a model with: always the same, whatever it has learnt from."""

import numpy as np
from numpy.typing import NDArray

from ddmlp.numerics import PROBE, random_bits

COUNT = 16  # of each kind
POINTS = 24  # of a stroke
PEN = 1 / 14  # half the width of a stroke, as a part of the image's side


def probe_images(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Strokes of a pen, which look like handwriting, noise, and an image all of paper and one all of ink.

    shape: (height, width). Returns (2 COUNT + 2, height, width) uint8, 0 for paper to 255 for ink.
    """
    height, width = shape
    noise = random_bits(0, PROBE, -(-COUNT * height * width // 8), part=2).astype("<u8").view(np.uint8)
    ends = random_bits(0, PROBE, COUNT * 3 * 2, part=3).reshape(COUNT, 3, 2) / 2.0**64 * 0.8 + 0.1
    return np.concatenate(
        [
            np.zeros((1, *shape), np.uint8),
            np.full((1, *shape), 255, np.uint8),
            noise[: COUNT * height * width].reshape(COUNT, height, width),
            np.array([_stroke(shape, *each) for each in ends]),
        ]
    )


def _stroke(
    shape: tuple[int, int], begin: NDArray[np.float64], bend: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """A quadratic Bezier curve between two points, which a third one bends; points are (y, x) in 0..1."""
    y, x = ((np.arange(side) + 0.5) / side for side in shape)
    nearest = np.full(shape, np.inf)
    for t in np.linspace(0, 1, POINTS):
        at = (1 - t) ** 2 * begin + 2 * t * (1 - t) * bend + t**2 * end
        nearest = np.minimum(nearest, np.hypot(y[:, None] - at[0], x - at[1]))
    return (255 * np.clip(2 * (1 - nearest / PEN), 0, 1)).astype(np.uint8)
