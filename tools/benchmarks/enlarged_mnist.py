"""MNIST, enlarged: as many rows as asked for, each a digit of its training set, paler or as it is."""

import shutil
from pathlib import Path

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError

CHUNK = 10_000  # rows in memory
PALEST = 0.5  # of the ink
SPARE = 1.1  # times the bytes of the pixels: labels, and what else lies in a shard


def enlarge(data: Path, rows: int, out: Path) -> Path:
    """Write `rows` rows made of data/train to out/train, beside the test set of `data`; returns `out`.

    Digits and their paleness are drawn by a generator of a fixed seed: the same rows every time. A pixel that has
    ink keeps some, and one that has none gets none: how many inputs of a microbatch are not zero decides about the
    speed, and is as in MNIST. Raises ConfigError if there is no room for the rows.
    """
    source = Dataset(data / "train")
    manifest = source.manifest
    out.mkdir(parents=True)
    (out / "test").symlink_to(data / "test")
    if (needed := int(rows * manifest.pixels * SPARE)) > (free := shutil.disk_usage(out).free):
        raise ConfigError(f"{rows:,} rows need {needed:,} bytes in {out}, which has {free:,}; set TMPDIR to elsewhere")
    draw = np.random.default_rng(0)
    with DatasetWriter(out / "train", manifest.image_shape, manifest.classes) as writer:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            pixels, labels = source.gather(draw.integers(len(source), size=count))
            ink = draw.uniform(PALEST, 1, size=(count, 1)).astype(np.float32)
            pale = np.ceil(pixels * ink).astype(np.uint8)
            writer.append(pale.reshape(count, *manifest.image_shape), labels)
    return out
