"""A stream that begins again when a run goes on: its first rows are there already, and are not trained on twice."""

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.data.sources import Rows
from ddmlp.errors import DatasetError

ENOUGH_ROWS = 100  # that are the same: then it is no accident


class Repetition:
    """Passes on the rows of a stream that are not in the dataset yet.

    A stream is either the rest, whose rows all go on, or the whole, from row 0 on: then its rows are compared with
    those that are there, every one, and only what follows goes on. It is the whole if its first ENOUGH_ROWS rows, or as
    many as there are, are the first of the dataset. Until that is known they are held.

    Attributes
    ----------
    skipped : int
        Rows that were there already.
    """

    def __init__(self, dataset: Dataset, name: str) -> None:
        """name: what errors call the stream."""
        self.skipped = 0
        self._dataset, self._name = dataset, name
        self._enough = min(ENOUGH_ROWS, len(dataset))
        self._held: list[Rows] = []
        self._rest = False

    @property
    def repeats(self) -> bool:
        """Whether the stream is known to begin again."""
        return self.skipped >= self._enough

    def new(self, rows: Rows) -> list[Rows]:
        """Those of the next rows of the stream, and of those held, that go on. Raises DatasetError if a stream that
        has begun again goes on with other rows than those that are there."""
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
                f"{self._name} begins again, but its row {self.skipped + same:,} is not the one that is there in "
                f"{self._dataset.path}; send the same rows, or only the rest, from row {len(self._dataset):,} on"
            )
        held, self._held, self._rest, self.skipped = self._held, [], True, 0
        return [*held, rows]

    def check_end(self) -> None:
        """Raise DatasetError if the stream has ended within the rows that are there."""
        if 0 < self.skipped < len(self._dataset):
            raise DatasetError(
                f"{self._name} begins again, but ends after {self.skipped:,} rows, and {len(self._dataset):,} are "
                f"there in {self._dataset.path}; send all rows or only the rest, or give --resume --end if no more come"
            )

    def _count_same(self, rows: Rows, count: int) -> int:
        """How many of the first `count` rows are those of the dataset."""
        if rows.pixels.shape[1:] != self._dataset.manifest.image_shape:
            return 0
        pixels, labels = self._dataset.gather(np.arange(self.skipped, self.skipped + count))
        differs = (rows.pixels[:count].reshape(count, -1) != pixels).any(axis=1) | (rows.labels[:count] != labels)
        return int(differs.argmax()) if differs.any() else count
