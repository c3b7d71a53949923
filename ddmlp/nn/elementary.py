"""e^x, the logistic function and the natural logarithm, made of operations that IEEE 754 defines to the last bit.

Library functions are not used, because each library rounds differently. `exp` and `logistic` take vectors, the others
one float64.
"""

from typing import Any

import numpy as np

from ddmlp.nn.compiled import inlined
from ddmlp.nn.lanes import fma, limit, scale

MAX_EXPONENT = np.float32(87)  # limit of |x| in e^x, which keeps the result in the range of normal numbers
LOG2_E = np.float32(1.4426950408889634)
# ln 2 in two parts. The first has few digits, so its product with k is exact.
LN_2, LN_2_REST = np.float32(0.693359375), np.float32(-2.12194440054690583e-4)
# Adding this to a small number leaves the nearest whole number in the lowest bits of the sum.
ROUND = np.float32(1.5 * 2**23)
# e^r = 1 + r + r^2 P(r) for |r| <= ln 2 / 2, fitted by weighted least squares: the relative error is at most 4.3e-9.
P0, P1, P2 = np.float32(0.49999993), np.float32(0.16666520), np.float32(0.041668393)
P3, P4 = np.float32(0.0083687808), np.float32(0.0013814467)
ONE = np.float32(1)

ROOT_OF_2, LN_OF_2 = 1.4142135623730951, 0.6931471805599453


@inlined
def exp(x: Any) -> Any:
    """e^x, after x is limited to -87..87. NaN gives NaN.

    The error is at most 1.02 ulp, and the function is monotone; a test tries every x.
    Method: x = k ln 2 + r with a whole number k and |r| <= ln 2 / 2; then e^x = 2^k e^r.
    """
    x = limit(x, MAX_EXPONENT)
    shifted = fma(x, LOG2_E, ROUND)
    k = shifted - ROUND
    r = fma(k, -LN_2_REST, fma(k, -LN_2, x))
    p = fma(fma(fma(fma(r, P4, P3), r, P2), r, P1), r, P0)
    # x - x is +0, which changes nothing here; but if x is NaN, so is the result.
    return scale(fma(p, r * r, r) + ONE, shifted) + (x - x)


@inlined
def logistic(z: Any) -> Any:
    """1 / (1 + e^-z), equation (1) of the note; the result is in 1.6e-38..1."""
    return ONE / (ONE + exp(-ONE * z))


def natural_logarithm(x: float) -> float:
    """The natural logarithm of a float64 x >= 1. The error is at most 1e-15 for x <= 300.

    Method: x = 2^k m with m in sqrt(1/2)..sqrt(2), and ln m = 2 (t + t^3/3 + t^5/5 + ...) with t = (m - 1) / (m + 1).
    """
    k = 0
    while x > ROOT_OF_2:
        x *= 0.5
        k += 1
    t = (x - 1.0) / (x + 1.0)
    square, series = t * t, 0.0
    for denominator in range(23, 0, -2):
        series = series * square + 1.0 / denominator
    return k * LN_OF_2 + 2.0 * t * series


ln = inlined(natural_logarithm)  # for the error E, in kernels


def exp_minus(x: float) -> float:
    """e^-x of a float64 x >= 0, for the learning rate. The relative error is at most 2e-14 for x <= 21.

    Method: e^-x = (e^-r)^(2^k) with r = x / 2^k <= 1/2, and e^-r = 1 - r/1 (1 - r/2 (1 - r/3 (...))).

    >>> exp_minus(0.0), round(exp_minus(1.0), 12)
    (1.0, 0.367879441171)
    """
    k = 0
    while x > 0.5:
        x *= 0.5
        k += 1
    power = 1.0
    for denominator in range(14, 0, -1):
        power = 1.0 - x / denominator * power
    for _ in range(k):
        power *= power
    return power
