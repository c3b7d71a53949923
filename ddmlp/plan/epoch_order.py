"""The epoch order: a permutation of the dataset's rows, a function of (seed, epoch) alone."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ddmlp.numerics import BLOCKS, ROWS, permutation, random_bits


class EpochOrder:
    """The order in which an epoch goes through `rows` rows, shuffled within windows.

    Blocks of `block` consecutive rows (the dataset's record batches) are permuted and dealt into windows of about
    `window` rows, and the rows of each window are permuted. So only one window's order is held in memory and only
    its blocks are read at a time, however large the dataset; one that fits the window is permuted as a whole.
    """

    def __init__(self, rows: int, block: int, window: int, seed: int, epoch: int) -> None:
        self.rows, self.block, self.seed, self.epoch = rows, block, seed, epoch
        count = -(-rows // block)
        self._dealt = max(1, window // block) if rows > window else count
        self._blocks = permutation(random_bits(seed, BLOCKS, count, index=epoch))
        sizes = np.minimum(block, rows - self._blocks * block)
        # Where each window begins in the order, and after the last one where the order ends.
        self._begins = np.append(np.append(0, np.cumsum(sizes))[:-1][:: self._dealt], rows)
        # Two windows: microbatches in flight lie in one, or on the boundary of two.
        self._window = lru_cache(maxsize=2)(self._shuffle)

    def __getitem__(self, span: slice) -> NDArray[np.intp]:
        """The rows at places start:stop of the order: shape (stop - start,)."""
        start, stop = span.start, span.stop
        first, last = np.searchsorted(self._begins, [start, stop - 1], side="right") - 1
        rows = [self._window(int(window)) for window in range(first, last + 1)]
        begin = int(self._begins[first])
        joined = rows[0] if len(rows) == 1 else np.concatenate(rows)
        return joined[start - begin : stop - begin]

    def _shuffle(self, window: int) -> NDArray[np.intp]:
        # Sorted first, so that in a dataset of one window the order does not depend on how it is cut into blocks.
        blocks = np.sort(self._blocks[window * self._dealt : (window + 1) * self._dealt])
        rows = (blocks[:, None] * self.block + np.arange(self.block)).reshape(-1)
        rows = rows[rows < self.rows]
        return rows[permutation(random_bits(self.seed, ROWS, len(rows), index=self.epoch, part=window))]
