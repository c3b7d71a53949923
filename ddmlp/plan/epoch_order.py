"""The epoch order: a permutation of the dataset's rows, a function of (seed, epoch) alone."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ddmlp.numerics import BLOCKS, ROWS, permutation, random_bits


class EpochOrder:
    """The order in which an epoch visits the rows of a dataset: random within windows.

    Blocks of `block` consecutive rows (the dataset's record batches) are permuted and grouped into windows of about
    `window` rows; then the rows of each window are permuted. So at any time the order of at most two windows is in
    memory, and only their blocks are read, however large the dataset is. A dataset that fits into one window is
    permuted as a whole.

    Parameters
    ----------
    rows : int
        Rows of the dataset.
    block : int
        Rows of a block.
    window : int
        Rows that are shuffled together, rounded down to whole blocks, but at least one block.
    seed, epoch : int
        The order is a function of both, and of the sizes above.

    Examples
    --------
    A slice of the order is an array of row numbers, intp.

    >>> order = EpochOrder(rows=12, block=3, window=6, seed=1, epoch=0)
    >>> order[0:12]
    array([ 8,  7,  0,  2,  6,  1,  5,  9, 10, 11,  4,  3])
    >>> order[5:7]
    array([1, 5])
    """

    def __init__(self, rows: int, block: int, window: int, seed: int, epoch: int) -> None:
        self.rows, self.block, self.seed, self.epoch = rows, block, seed, epoch
        count = -(-rows // block)
        self._dealt = max(1, window // block) if rows > window else count
        self._blocks = permutation(random_bits(seed, BLOCKS, count, index=epoch))
        sizes = np.minimum(block, rows - self._blocks * block)
        # The place in the order at which each window begins; at the end, the number of rows.
        self._begins = np.append(np.append(0, np.cumsum(sizes))[:-1][:: self._dealt], rows)
        # Two windows are cached: the rows of the steps in flight are in one, or across the boundary of two.
        self._window = lru_cache(maxsize=2)(self._shuffle)

    def __getitem__(self, span: slice) -> NDArray[np.intp]:
        """The rows at the places start:stop of the order: shape (stop - start,), intp."""
        start, stop = span.start, span.stop
        first, last = np.searchsorted(self._begins, [start, stop - 1], side="right") - 1
        rows = [self._window(int(window)) for window in range(first, last + 1)]
        begin = int(self._begins[first])
        joined = rows[0] if len(rows) == 1 else np.concatenate(rows)
        return joined[start - begin : stop - begin]

    def _shuffle(self, window: int) -> NDArray[np.intp]:
        # Sort the blocks first, so that the order of a single-window dataset does not depend on its blocks.
        blocks = np.sort(self._blocks[window * self._dealt : (window + 1) * self._dealt])
        rows = (blocks[:, None] * self.block + np.arange(self.block)).reshape(-1)
        rows = rows[rows < self.rows]
        return rows[permutation(random_bits(self.seed, ROWS, len(rows), index=self.epoch, part=window))]
