"""Variants of MNIST with fewer zero pixels; in MNIST, four fifths of the pixels are zero."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter

CHUNK = 10_000  # rows in memory
GROWN = 6  # pixels; makes half of MNIST's pixels nonzero, as in Fashion-MNIST

Images = NDArray[np.uint8]


def grow(images: Images) -> Images:
    """Replace each pixel of images (B, height, width) by the maximum of the GROWN x GROWN pixels around it.

    The result resembles Fashion-MNIST: half of the pixels are nonzero, in connected regions.
    """
    before, after = GROWN // 2, (GROWN - 1) // 2
    for axis in (1, 2):
        edges = [(before, after) if each == axis else (0, 0) for each in range(3)]
        images = np.lib.stride_tricks.sliding_window_view(np.pad(images, edges), GROWN, axis).max(axis=-1)
    return images


def invert(images: Images) -> Images:
    """Invert images so that no pixel is zero: 255 - pixel, but at least 1."""
    return np.maximum(255 - images, 1)


def change(data: Path, by: Callable[[Images], Images], out: Path) -> Path:
    """Write the datasets train/ and test/ of `data` to `out`, with changed images."""
    for part in ("train", "test"):
        source = Dataset(data / part)
        shape = source.manifest.image_shape
        with DatasetWriter(out / part, shape, source.manifest.classes) as writer:
            for start in range(0, len(source), CHUNK):
                pixels, labels = source.gather(np.arange(start, min(start + CHUNK, len(source))))
                writer.append(by(pixels.reshape(-1, *shape)), labels)
    return out
