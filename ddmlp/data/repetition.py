"""Streams that start over when a run resumes: rows that are already in the dataset are skipped."""

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError

ENOUGH_ROWS = 100  # equal rows, which are no coincidence


class Repetition:
    """Filters out the rows of a stream that are already in the dataset.

    A stream contains either the remaining rows, which all pass, or all rows from row 0 on. In the second case each row
    that is in the dataset is compared with it and skipped, and only the rows after those pass. A stream starts over if
    its first ENOUGH_ROWS rows (or all rows of a smaller dataset) equal the first rows of the dataset. Rows are held
    back until this is known.

    Parameters
    ----------
    dataset : Dataset
        The rows received before.
    name : str
        The name of the stream in error messages.

    Attributes
    ----------
    skipped : int
        The number of rows skipped so far.
    """

    def __init__(self, dataset: Dataset, name: str) -> None:
        self.skipped = 0
        self._dataset, self._name = dataset, name
        self._enough = min(ENOUGH_ROWS, len(dataset))
        self._held: list[Rows] = []
        self._rest = False

    @property
    def repeats(self) -> bool:
        """Whether the stream is known to start over."""
        return self.skipped >= self._enough

    def new(self, rows: Rows) -> list[Rows]:
        """Return the rows that pass, of the stream's next `rows` and those held back.

        Raises
        ------
        DatasetError
            The stream has started over, but one of its rows differs from the row in the dataset.
        """
        known = min(len(self._dataset) - self.skipped, len(rows.labels))
        if self._rest or not known:
            return [rows]
        same = self._count_same(rows, known)
        if same == known:
            self.skipped += known
            self._held = [] if self.repeats else [*self._held, rows]
            behind = Rows(rows.pixels[known:], rows.labels[known:])
            return [behind] if len(behind.labels) else []
        if self.skipped + same >= self._enough:
            raise DatasetError(
                f"{self._name} starts over, but its row {self.skipped + same:,} differs from that row of "
                f"{self._dataset.path}; send the same rows, or only the rows from {len(self._dataset):,} on"
            )
        held, self._held, self._rest, self.skipped = self._held, [], True, 0
        return [*held, rows]

    def check_end(self) -> None:
        """Raise DatasetError if the stream started over, and ended before the last row of the dataset."""
        if 0 < self.skipped < len(self._dataset):
            raise DatasetError(
                f"{self._name} starts over, but ends after {self.skipped:,} rows, expected at least the "
                f"{len(self._dataset):,} of {self._dataset.path}; send all rows, or only the new ones, or none and "
                "mark the end"
            )

    def _count_same(self, rows: Rows, count: int) -> int:
        """Return how many of the first `count` rows, up to the first difference, equal those of the dataset."""
        if rows.pixels.shape[1:] != self._dataset.manifest.image_shape:
            return 0
        pixels, labels = self._dataset.gather(np.arange(self.skipped, self.skipped + count))
        differs = (rows.pixels[:count].reshape(count, -1) != pixels).any(axis=1) | (rows.labels[:count] != labels)
        return int(differs.argmax()) if differs.any() else count
