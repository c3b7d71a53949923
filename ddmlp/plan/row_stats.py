"""Statistics of rows, and their fingerprints."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_GAMMA, _HALF, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(32), np.uint64(0xBF58476D1CE4E5B9)


class RowStats(NamedTuple):
    """Statistics of the rows of a unit or a step.

    Parameters
    ----------
    rows : int
        The number of rows.
    fingerprints : int
        The sum of the rows' fingerprints, modulo 2^64.
    error : float
        The sum of the cross-entropies E.
    mistakes : int
        The number of misclassified rows.
    steepest : float
        The largest |dE/dz1| of any row and hidden unit; infinite if any of them is not finite.
    """

    rows: int
    fingerprints: int
    error: float
    mistakes: int
    steepest: float

    def plus(self, other: "RowStats") -> "RowStats":
        """The statistics of both together. Errors are floats, so they are added in the order of the reduction tree."""
        return RowStats(
            self.rows + other.rows,
            (self.fingerprints + other.fingerprints) % 2**64,
            self.error + other.error,
            self.mistakes + other.mistakes,
            float(np.maximum(self.steepest, other.steepest)),  # NaN if either is NaN
        )


def row_hashes(rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """The fingerprint of each row: multiply and fold, twice.

    This follows the output function of SplitMix64 (Steele, Lea and Flood 2014, figure 11) and has its constants. It is
    shorter, because it runs for every microbatch; but without the second fold the multiplication would factor out of
    the sum, and two swaps of rows could cancel each other.

    Parameters
    ----------
    rows : (n,) intp
        Numbers of rows.

    Returns
    -------
    (n,) uint64

    Examples
    --------
    >>> row_hashes(np.array([0, 1]))
    array([12258477386215270768,  3988169194166237272], dtype=uint64)
    """
    mixed = (rows + 1).view(np.uint64) * _GAMMA
    mixed ^= mixed >> _HALF
    mixed *= _MIX
    mixed ^= mixed >> _HALF
    return mixed


def row_hash_sum(rows: NDArray[np.intp]) -> int:
    """The sum of the rows' fingerprints, modulo 2^64."""
    return int(np.add.reduce(row_hashes(rows)))
