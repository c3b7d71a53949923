"""Fixed images for comparing an exported file with its model."""

import numpy as np
from numpy.typing import NDArray

from ddmlp.numerics import PROBE, random_bits

COUNT = 16  # images of strokes, and as many of noise
POINTS = 24  # of a stroke
PEN = 1 / 14  # half the width of a stroke, as a fraction of the image's side


def probe_images(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image of only paper, one of only ink, noise, and pen strokes that look like handwriting.

    Parameters
    ----------
    shape
        Height and width, in pixels.

    Returns
    -------
    (2 COUNT + 2, height, width) uint8
        0 for paper to 255 for ink; always the same for a shape.

    Examples
    --------
    >>> probe_images((28, 28)).shape
    (34, 28, 28)
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
    """Draw a quadratic Bezier curve; its three control points are (y, x) in 0..1."""
    y, x = ((np.arange(side) + 0.5) / side for side in shape)
    nearest = np.full(shape, np.inf)
    for t in np.linspace(0, 1, POINTS):
        at = (1 - t) ** 2 * begin + 2 * t * (1 - t) * bend + t**2 * end
        nearest = np.minimum(nearest, np.hypot(y[:, None] - at[0], x - at[1]))
    return (255 * np.clip(2 * (1 - nearest / PEN), 0, 1)).astype(np.uint8)
