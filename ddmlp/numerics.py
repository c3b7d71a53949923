"""Counter-based random numbers, the same bits on every machine.

They use only operations with a fixed result: those of integers and, by IEEE 754, + - * of floats.
"""

import numpy as np
from numpy.typing import NDArray

# The purposes of random bits. The purpose is part of the counter, so that no two purposes share a number.
WEIGHTS, BLOCKS, ROWS, PROBE = range(4)
DISTORTION = 2**63  # the index of a row's word that its distortion is drawn from: transforms count from 0
# The version of the arithmetic. Raise it with each change after which the same rows, settings and seed give other bits.
ARITHMETIC = 2
_STEP, _FIRST, _SECOND = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)


def random_bits(seed: int, purpose: int, count: int, *, index: int = 0, part: int = 0) -> NDArray[np.uint64]:
    """Draw `count` random 64-bit words, a pure function of the arguments: shape (count,), uint64.

    The generator is Philox 4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11). Its key is
    (seed, index); the upper words of its counter are the part and the purpose. Only its raw words are used, because
    NumPy guarantees that these are stable (NEP 19), but not the distributions.

    >>> random_bits(0, WEIGHTS, 2)
    array([ 213000021201967259, 4455796210202625458], dtype=uint64)
    """
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, part, purpose], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def row_bits(rows: NDArray[np.int64], seed: int, epoch: int, index: int = 0) -> NDArray[np.uint64]:
    """Draw a random 64-bit word for each row, a pure function of (row, seed, epoch, index): shape (rows,), uint64.

    For transforms: the words of a row do not depend on the other rows of a call. They are the output function of
    SplitMix64 (Steele, Lea and Flood 2014), applied to one number after the other.

    Parameters
    ----------
    rows : (n,) int64
        Numbers of rows.
    seed, epoch : int
        Of the run.
    index : int
        Which of the row's words.

    Examples
    --------
    >>> row_bits(np.array([0, 1]), seed=0, epoch=0) % 5
    array([1, 4], dtype=uint64)
    """
    mixed = np.zeros(len(rows), np.uint64)
    for each in (seed, epoch, index, rows):
        mixed += np.asarray(each, np.uint64) + _STEP
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
        mixed ^= mixed >> np.uint64(31)
    return mixed


def uniform(bits: NDArray[np.uint64], low: float, high: float) -> NDArray[np.float64]:
    """Uniform float64 numbers from low to high, one from the upper 53 bits of each word: shape (n,).

    >>> uniform(np.array([0, 2**63], np.uint64), low=-1.0, high=1.0)
    array([-1.,  0.])
    """
    return low + (high - low) * ((bits >> np.uint64(11)) * np.float64(2.0**-53))


def permutation(bits: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The permutation that sorts `bits`: shape (n,), intp.

    The sort is stable, so the result for equal words does not depend on the library. It takes 16 bits at a time,
    because NumPy sorts these by radix.

    >>> permutation(np.array([7, 3, 5], np.uint64))
    array([1, 2, 0])
    """
    return np.lexsort([(bits >> np.uint64(shift)).astype(np.uint16) for shift in (0, 16, 32, 48)])
