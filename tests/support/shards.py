"""A small shard with known rows."""

from pathlib import Path

import numpy as np

from ddmlp.data.shards import ShardWriter

SHAPE = 2, 3
PIXELS = np.arange(30, dtype=np.uint8).reshape(5, *SHAPE)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def write(path: Path, pixels: np.ndarray, labels: np.ndarray, batch_rows: int) -> Path:
    writer = ShardWriter(path, pixels.shape[1:])
    for start in range(0, len(labels), batch_rows):
        writer.write(pixels[start : start + batch_rows], labels[start : start + batch_rows])
    assert writer.rows == len(labels)
    writer.close()
    return path
