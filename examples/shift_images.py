"""Transforms for `ddmlp train --transform examples/shift_images.py:shift`: each epoch trains on images moved a little.

A transform is a function of each row alone: its random numbers depend on the row, the seed and the epoch, not on the
other rows of a call. So the weights are the same for any number of workers.
"""

import numpy as np
from numpy.typing import NDArray

from ddmlp.numerics import row_bits

Pixels = NDArray[np.uint8]  # (rows, height, width)
MOST = 2  # pixels in each direction


def shift(pixels: Pixels, rows: NDArray[np.int64], seed: int, epoch: int) -> Pixels:
    """Move each image by up to MOST pixels down or up, and right or left; what is moved in is 0."""
    down, right = (row_bits(rows, seed, epoch, index) % (2 * MOST + 1) for index in (0, 1))
    wide = np.pad(pixels, [(0, 0), (MOST, MOST), (MOST, MOST)])
    windows = np.lib.stride_tricks.sliding_window_view(wide, pixels.shape[1:], axis=(1, 2))
    return windows[np.arange(len(pixels)), down, right]


def identity(pixels: Pixels, *_: object) -> Pixels:
    """Change nothing, to measure what a transform costs."""
    return pixels
