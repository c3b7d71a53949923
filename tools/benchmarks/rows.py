"""Rows in memory, as the peers take them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset


class Rows(NamedTuple):
    """pixels: (rows, m) uint8; labels: (rows,) uint8."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @classmethod
    def load(cls, path: Path) -> "Rows":
        """Every row of the dataset in folder `path`."""
        dataset = Dataset(path)
        return cls(*dataset.gather(np.arange(len(dataset))))

    def first(self, count: int) -> "Rows":
        return Rows(self.pixels[:count], self.labels[:count])

    def scaled(self) -> NDArray[np.float32]:
        """The pixels as inputs 0..1: (rows, m)."""
        return self.pixels * np.float32(1 / 255)
