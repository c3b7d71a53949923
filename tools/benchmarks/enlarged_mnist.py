"""Datasets of any size, drawn from MNIST's training set."""

from pathlib import Path

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter

CHUNK = 10_000  # rows in memory


def enlarge(data: Path, rows: int, out: Path) -> Path:
    """Write `rows` random rows of data/train to out/train, the same on each call, and link the test set of `data`."""
    source, draw = Dataset(data / "train"), np.random.default_rng(0)
    shape = source.manifest.image_shape
    out.mkdir(parents=True)
    (out / "test").symlink_to(data / "test")
    with DatasetWriter(out / "train", shape, source.manifest.classes) as writer:
        for start in range(0, rows, CHUNK):
            pixels, labels = source.gather(draw.integers(len(source), size=min(CHUNK, rows - start)))
            writer.append(pixels.reshape(-1, *shape), labels)
    return out
