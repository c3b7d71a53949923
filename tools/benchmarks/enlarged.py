"""MNIST, enlarged: as many rows as asked for, each a digit of its training set moved by a pixel or two."""

import shutil
from pathlib import Path

import numpy as np

from ddmlp.dataset import Dataset
from ddmlp.dataset_writer import DatasetWriter
from ddmlp.errors import ConfigError

CHUNK = 10_000  # rows in memory
MOST_SHIFT = 2  # pixels, which MNIST's digits have around them
SPARE = 1.1  # times the bytes of the pixels: labels, and what else lies in a shard


def enlarge(data: Path, rows: int, out: Path) -> Path:
    """Write `rows` rows made of data/train to out/train, beside the test set of `data`; returns `out`.

    Each digit is drawn, and each chunk moved, by a generator of a fixed seed: the same rows every time. Raises
    ConfigError where there is no room for them.
    """
    source = Dataset(data / "train")
    manifest = source.manifest
    out.mkdir(parents=True)
    (out / "test").symlink_to(data / "test")
    if (needed := int(rows * manifest.pixels * SPARE)) > (free := shutil.disk_usage(out).free):
        raise ConfigError(f"{rows:,} rows need {needed:,} bytes in {out}, which has {free:,}; set TMPDIR to elsewhere")
    draw = np.random.default_rng(0)
    pixels, labels = np.empty((CHUNK, manifest.pixels), np.uint8), np.empty(CHUNK, np.uint8)
    with DatasetWriter(out / "train", manifest.image_shape, manifest.classes) as writer:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            source.gather(draw.integers(len(source), size=count), pixels, labels)
            images = pixels[:count].reshape(count, *manifest.image_shape)
            shift = draw.integers(-MOST_SHIFT, MOST_SHIFT + 1, size=2)
            writer.append(np.roll(images, shift, axis=(1, 2)), labels[:count])
    return out
