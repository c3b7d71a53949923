"""What the bits of a result rest on besides the kernels: counter-based random numbers.

Only operations are used whose result is fixed, those of integers and, by IEEE 754, + - * of floats.
"""

import numpy as np
from numpy.typing import NDArray

# What random bits are drawn for. Part of the counter, so that no two purposes ever share a number.
WEIGHTS, BLOCKS, ROWS, PROBE = range(4)
# To be raised with each change of this package after which the same rows, settings and seed come to other bits.
ARITHMETIC = 2


def random_bits(seed: int, purpose: int, count: int, *, index: int = 0, part: int = 0) -> NDArray[np.uint64]:
    """`count` random 64-bit words, a pure function of the arguments: shape (count,), uint64.

    Philox 4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11), keyed by (seed, index), with
    the purpose and the part in the counter's upper words. Only the generator's raw words are used, because NumPy
    promises their stability (NEP 19) and not that of the distributions made from them.
    """
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, part, purpose], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def uniform(bits: NDArray[np.uint64], low: float, high: float) -> NDArray[np.float64]:
    """Uniform float64 numbers from low to high, one from the upper 53 bits of each word."""
    return low + (high - low) * ((bits >> np.uint64(11)) * np.float64(2.0**-53))


def permutation(bits: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The permutation that sorts `bits`: shape (n,). A stable sort, so that equal words cannot differ by library; by 16
    bits at a time, which NumPy sorts by radix."""
    return np.lexsort([(bits >> np.uint64(shift)).astype(np.uint16) for shift in (0, 16, 32, 48)])
