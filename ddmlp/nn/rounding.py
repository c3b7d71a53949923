"""Rounds the gradient of a microbatch to few bits, which take less time on a slow link.

Each row of a buffer of `Weights` is rounded to multiples of its own unit, a power of two that follows from the row's
largest number. So the result depends on nothing but the microbatch, and sums of such gradients usually stay exact.
Only operations that IEEE 754 defines to the last bit are used.
"""

from typing import Any

import numpy as np

from ddmlp.nn.compiled import inlined
from ddmlp.nn.elementary import ROUND
from ddmlp.nn.lanes import largest, load, steeper, store, zeros
from ddmlp.nn.weights import LANES

BIAS, MANTISSA = 127, 23  # of a float32: what is added to its exponent, which is stored above these bits
SMALLEST = -126  # exponent of the smallest normal number


@inlined
def power_of_two(exponent: int) -> Any:
    """2^exponent as a float32, for an exponent of -126..127."""
    return np.int32((exponent + BIAS) << MANTISSA).view(np.float32)


@inlined
def exponent_of(x: Any) -> Any:
    """The exponent of the largest power of two that is at most x, a positive normal number."""
    return (np.int64(np.float32(x).view(np.int32)) >> MANTISSA) - BIAS


@inlined
def round_rows(gradient: Any, width: int, bits: int) -> None:
    """Round each row (width,) of a flat buffer to whole multiples of its unit, ties to even.

    The unit is the smallest power of two, but at least 2^-126, for which no number of the row is more than
    2^(bits - 1) - 1 units, so a multiple is a signed integer of `bits` bits, 4 to 16. A row that has infinity or NaN
    stays as it is: `is_finite` rejects the step.
    """
    most = np.float32((1 << (bits - 1)) - 1)
    for begin in range(0, len(gradient), width):
        best = zeros()
        for place in range(begin, begin + width, LANES):
            best = steeper(load(gradient, place), best)
        top = largest(best)
        if not (top > 0 and top < np.inf):
            continue
        exponent = max(exponent_of(top) + 2 - bits, SMALLEST)
        if top > most * power_of_two(exponent):
            exponent += 1
        unit, inverse = power_of_two(exponent), power_of_two(-exponent)
        for place in range(begin, begin + width, LANES):
            # The sum has no digits after the point; the difference is exact, and never -0.
            multiple = load(gradient, place) * inverse + ROUND - ROUND
            store(gradient, place, multiple * unit)
