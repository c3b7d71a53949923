"""What is counted of rows, and the hash that tells rows apart."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_GAMMA, _HALF, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(32), np.uint64(0xBF58476D1CE4E5B9)


class RowStats(NamedTuple):
    """What is counted of rows: how many, the sums of their fingerprints, of their errors E and of their mistakes, and
    the steepest slope: the largest |dE/dz1| of any row and hidden unit, infinite if one is not finite."""

    rows: int
    fingerprints: int
    error: float
    mistakes: int
    steepest: float

    def plus(self, other: "RowStats") -> "RowStats":
        """Those of both together. Errors are floats: left plus right, as the reduction tree says."""
        return RowStats(
            self.rows + other.rows,
            (self.fingerprints + other.fingerprints) % 2**64,
            self.error + other.error,
            self.mistakes + other.mistakes,
            float(np.maximum(self.steepest, other.steepest)),  # nan, if one of them is
        )


def row_hashes(rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """The fingerprint of each row: multiply and fold twice, after SplitMix64's output function (Steele, Lea and Flood
    2014, figure 11), whose constants these are. It runs for every microbatch, so it is kept short; but without the
    second fold the multiplication would factor out of the sum, and two swaps of rows could cancel out."""
    mixed = (rows + 1).view(np.uint64) * _GAMMA
    mixed ^= mixed >> _HALF
    mixed *= _MIX
    mixed ^= mixed >> _HALF
    return mixed


def row_hash_sum(rows: NDArray[np.intp]) -> int:
    """The sum of the rows' fingerprints."""
    return int(np.add.reduce(row_hashes(rows)))
