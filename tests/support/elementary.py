"""The elementary functions of the kernels, applied to arrays, and e^x in float64 for comparison.

These functions are not kernels: the code cache covers only the sources in ddmlp/nn/.
"""

import math

import numba
import numpy as np

from ddmlp.nn.compiled import OPTIONS
from ddmlp.nn.elementary import exp, ln, logistic
from ddmlp.nn.lanes import load, store
from ddmlp.nn.weights import LANES

LOG2_E, LN_2 = 1.4426950408889634, 0.6931471805599453
SERIES = tuple(1 / math.factorial(n) for n in range(13, 0, -1))  # of (e^r - 1) / r
POWERS = 2.0 ** np.arange(-127, 128)


@numba.jit("void(float32[::1], float32[::1], float32[::1])", **OPTIONS)
def _evaluate(x, exps, logistics):
    for place in range(0, len(x), LANES):
        store(exps, place, exp(load(x, place)))
        store(logistics, place, logistic(load(x, place)))


@numba.jit("void(float64[::1], float64[::1])", **OPTIONS)
def _logarithms(x, result):
    for place in range(len(x)):
        result[place] = ln(x[place])


@numba.jit("float64(float32[::1], float32[::1])", **OPTIONS)
def exp_error(x, found):
    """Return the largest error in ulp of the values found for e^x, x in -87..87, to within 1e-6."""
    most = 0.0
    for place in range(len(x)):
        exact = np.float64(x[place])
        k = np.floor(exact * LOG2_E + 0.5)
        r = exact - k * LN_2
        p = SERIES[0]
        for coefficient in SERIES[1:]:
            p = p * r + coefficient
        p *= r
        # e^x = 2^k (1 + p). float32 numbers from 2^k on are 2^(k - 23) apart, smaller ones half of that.
        scale = POWERS[127 - np.int64(k)]
        error = abs((np.float64(found[place]) * scale - 1.0) - p) * (2.0**23 if p >= 0.0 else 2.0**24)
        most = max(most, error)
    return most


def evaluate(x):
    """Return e^x and the logistic function of x, float32 (any,)."""
    padded = np.zeros(-(-len(x) // LANES) * LANES, np.float32)
    padded[: len(x)] = x
    exps, logistics = np.empty_like(padded), np.empty_like(padded)
    _evaluate(padded, exps, logistics)
    return exps[: len(x)], logistics[: len(x)]


def logarithms(x):
    """Return ln x, float64 (any,)."""
    result = np.empty_like(x)
    _logarithms(x, result)
    return result
