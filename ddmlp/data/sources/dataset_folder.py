"""Datasets as sources, for example of a folder in a store."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.sources import Rows
from ddmlp.data.sources.parts import Parts
from ddmlp.errors import DatasetError

BATCH_BYTES = 1 << 20  # of pixels, at a time


def find_datasets(folder: Path) -> Parts:
    """Find the datasets train/ and, if it exists, test/ in a folder, which may also be one dataset itself."""
    if (folder / NAME).exists():
        return Parts(DatasetFolder(folder))
    test = DatasetFolder(folder / "test") if (folder / "test" / NAME).exists() else None
    return Parts(DatasetFolder(folder / "train"), test)


class DatasetFolder(NamedTuple):
    """A dataset whose rows are converted, or which is copied as it is."""

    path: Path

    def open(self) -> "OpenDataset":
        """Open the dataset, and compare its hashes; raises DatasetError if it is missing or damaged."""
        return OpenDataset(self.path)

    def copy(self, target: Path) -> None:
        """Copy the dataset, with the same shards, into a folder without one; raises DatasetError, OSError.

        Every shard must have its hash. The manifest is written last.
        """
        manifest = Manifest.read(self.path)
        Dataset(self.path).verify()
        target.mkdir(parents=True, exist_ok=True)
        for shard in manifest.shards:
            shutil.copyfile(self.path / shard.file, target / shard.file)
        manifest.write(target)


class OpenDataset:
    """The rows of an open dataset: a `FiniteSource`."""

    def __init__(self, path: Path) -> None:
        self._dataset = Dataset(path, verify=True)
        manifest = self._dataset.manifest
        self.rows, self.image_shape = manifest.rows, manifest.image_shape
        self.class_names: tuple[str, ...] | None = manifest.class_names

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def count_classes(self) -> int:
        """Return the number of classes."""
        return self._dataset.manifest.classes

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order; raises DatasetError if the dataset has more classes."""
        if self.count_classes() > classes:
            raise DatasetError(
                f"{self._dataset.path} has {self.count_classes()} classes, expected at most {classes}; set more classes"
            )
        size = max(1, BATCH_BYTES // math.prod(self.image_shape))
        for begin in range(0, self.rows, size):
            pixels, labels = self._dataset.gather(np.arange(begin, min(begin + size, self.rows)))
            yield Rows(pixels.reshape(-1, *self.image_shape), labels)
