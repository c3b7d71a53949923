"""Datasets with other pixels than MNIST's, of which four fifths are zero; made of MNIST, for its rows are at hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter

CHUNK = 10_000  # rows in memory
GROWN = 6  # pixels; with them half of MNIST's are not zero, as are Fashion-MNIST's

Images = NDArray[np.uint8]


def grow(images: Images) -> Images:
    """Images (B, height, width) whose pixels are each the largest of GROWN x GROWN around it. It stands in for
    Fashion-MNIST: half of the pixels are not zero, in connected regions."""
    before, after = GROWN // 2, (GROWN - 1) // 2
    for axis in (1, 2):
        edges = [(before, after) if each == axis else (0, 0) for each in range(3)]
        images = np.lib.stride_tricks.sliding_window_view(np.pad(images, edges), GROWN, axis).max(axis=-1)
    return images


def invert(images: Images) -> Images:
    """Dark on light, and no pixel is zero: 255 - pixel, and 1 in place of 0."""
    return np.maximum(255 - images, 1)


def change(data: Path, by: Callable[[Images], Images], out: Path) -> Path:
    """Write the train/ and test/ of `data` to `out`, with their images changed."""
    for part in ("train", "test"):
        source = Dataset(data / part)
        shape = source.manifest.image_shape
        with DatasetWriter(out / part, shape, source.manifest.classes) as writer:
            for start in range(0, len(source), CHUNK):
                pixels, labels = source.gather(np.arange(start, min(start + CHUNK, len(source))))
                writer.append(by(pixels.reshape(-1, *shape)), labels)
    return out
