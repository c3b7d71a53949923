"""Datasets in which pixels and labels give the number of the row."""

from pathlib import Path

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.writer import DatasetWriter


def rows(count: int, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows whose pixels and labels give their number."""
    numbers = np.arange(start, start + count)
    return np.repeat(numbers % 256, 4).reshape(-1, 2, 2).astype(np.uint8), (numbers % 10).astype(np.uint8)


def add(path: Path, *counts: int, end: bool = False, **options: object) -> None:
    """Append numbered rows, with one publication for each count."""
    done = Manifest.read(path).rows if (path / NAME).exists() and not options else 0
    with DatasetWriter(path, (2, 2), 10, **{"shard_rows": 5, **(options or {"extend": True})}) as writer:
        for count in counts:
            writer.append(*rows(count, done))
            done += count
            writer.publish()
        if end:
            writer.end()


def read(path: Path) -> tuple[list[int], list[int]]:
    """Return the first pixel and the label of every row; verifies the shards."""
    dataset = Dataset(path)
    dataset.verify()
    pixels, labels = dataset.gather(np.arange(len(dataset)))
    return pixels[:, 0].tolist(), labels.tolist()


def numbers_of(dataset: Dataset, start: int = 0) -> list[int]:
    """Return the first pixel of every row from `start` on."""
    places = np.arange(start, len(dataset))
    pixels, labels = dataset.gather(places)
    assert labels.tolist() == (places % 10).tolist()
    return pixels[:, 0].tolist()
