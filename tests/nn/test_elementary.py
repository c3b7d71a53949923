"""e^x, the logistic function and the logarithm: their errors, monotonicity, and special values."""

import math

import numpy as np
import pytest
from numpy.polynomial.polynomial import polyval

from ddmlp.nn.elementary import P0, P1, P2, P3, P4, exp_minus, natural_logarithm
from tests.support import slow_kernels
from tests.support.elementary import evaluate, exp_error, logarithms

MAX_EXPONENT = np.float32(87)
EXP_ULP, LOGISTIC_ULP = 1.02, 2.5
CHUNK = 2**20
NANS = np.array([0x7F800001, 0x7FC00000, 0x7FC00001, 0x7FFFFFFF, 0xFF800001, 0xFFC00000, 0xFFFFFFFF], np.uint32).view(
    "f4"
)


def chunks(end, stride):
    """All float32 numbers from 0 to `end`, ascending, or every `stride`-th of them."""
    last = int(np.array(end, np.float32).view(np.uint32)) + 1
    for begin in range(0, last, CHUNK * stride):
        yield np.arange(begin, min(last, begin + CHUNK * stride), stride, dtype=np.uint32).view(np.float32)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("stride", [101, pytest.param(1, marks=pytest.mark.slow)])
def test_exp(stride, sign):
    """For every float32 number in -87..87; in `make test`, for some of them."""
    before, worst = np.float32(1), 0.0
    for x in chunks(MAX_EXPONENT, stride):
        found, _ = evaluate(sign * x)
        assert (sign * np.diff(found, prepend=before)).min() >= 0
        before, worst = found[-1], max(worst, exp_error(sign * x, found))
    assert 0.9 < worst < EXP_ULP


def test_exp_of_few():
    """Compared with NumPy's exp in float64, which also checks the test above."""
    x = np.linspace(-87, 87, 100_000, dtype=np.float32)
    found, _ = evaluate(x)
    assert exp_error(x, found) == pytest.approx(ulps(found, np.exp(x.astype(np.float64))).max(), abs=1e-5)
    found[50_000] = np.nextafter(found[50_000], np.float32(9))
    found[50_000] = np.nextafter(found[50_000], np.float32(9))
    assert exp_error(x, found) > 1


def ulps(found, exact):
    """The difference, in units of the distance between the float32 numbers next to the exact one."""
    return np.abs(found - exact) / np.ldexp(1.0, np.frexp(exact)[1] - 24)


def test_polynomial():
    """The error of the fit alone: its float32 coefficients, without rounded sums."""
    r = np.linspace(-1, 1, 10_001) * math.log(2) / 2
    p = polyval(r, np.array([P0, P1, P2, P3, P4], np.float64))
    assert 4.2e-9 < np.abs((1 + r + r * r * p) / np.exp(r) - 1).max() < 4.3e-9


def test_exp_of_others():
    """Arguments beyond the limits give the value at the limit. NaN gives NaN, whatever its bits."""
    (low, one, high), _ = evaluate(np.array([-MAX_EXPONENT, 0, MAX_EXPONENT]))
    assert one == 1
    assert np.finfo(np.float32).tiny < low < 1.7e-38
    above = np.array([np.nextafter(MAX_EXPONENT, np.float32(99)), 88, 89, 1e10, 3e38, np.inf], np.float32)
    assert set(evaluate(above)[0]) == {high}
    assert set(evaluate(-above)[0]) == {low}
    assert np.isnan(evaluate(NANS)[0]).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_logistic(sign):
    before, worst = np.float32(0.5), 0.0
    for z in chunks(np.finfo(np.float32).max, 101):
        _, found = evaluate(sign * z)
        assert (sign * np.diff(found, prepend=before)).min() >= 0
        before, near = found[-1], z <= MAX_EXPONENT
        if near.any():
            worst = max(worst, ulps(found[near], 1 / (1 + np.exp(-sign * z[near].astype(np.float64)))).max())
    assert worst < LOGISTIC_ULP
    assert before == (1 if sign == 1 else evaluate(np.array([-MAX_EXPONENT], np.float32))[1])


def test_logistic_of_others():
    zero, infinite = np.array([0, -0.0], np.float32), np.array([87, np.inf, -87, -np.inf], np.float32)
    assert evaluate(zero)[1].tolist() == [0.5, 0.5]
    high, beyond, low, below = evaluate(infinite)[1]
    assert high == beyond == 1
    assert 0 < low == below < 1.7e-38
    assert np.isnan(evaluate(NANS)[1]).all()


def test_logarithm():
    x = np.concatenate([np.linspace(1, 300, 20_000), 1 + np.geomspace(1e-16, 1, 1_000), 2.0 ** np.arange(9)])
    exact = np.array([math.log(each) for each in x])
    apart = np.abs(logarithms(x) - exact)
    assert apart.max() <= 1e-15
    assert (apart <= 1e-15 * exact).all()
    assert logarithms(np.ones(1)).tolist() == [0]


def test_exp_minus():
    """Up to e^-21, which is below the least `lr_end`."""
    x = np.linspace(0, 21, 20_000)
    found = np.array([exp_minus(each) for each in x.tolist()])
    assert np.abs(found / np.exp(-x) - 1).max() < 2e-14
    assert (np.diff(found) < 0).all()
    assert (found[0], natural_logarithm(100.0)) == (1, logarithms(np.array([100.0]))[0])


def test_slow_ones():
    """The slow functions give the same bits."""
    x = np.concatenate([each for sign in (1, -1) for each in (sign * z for z in chunks(np.inf, 50_021))])
    x = np.concatenate([x, np.array([np.nan], np.float32), np.linspace(-90, 90, 20_000, dtype=np.float32)])
    with np.errstate(all="ignore"):
        for found, expected in zip(evaluate(x), (slow_kernels.exp(x), slow_kernels.logistic(x)), strict=True):
            np.testing.assert_array_equal(found, expected)
    x = np.linspace(1, 300, 1_000)
    assert logarithms(x).tolist() == [slow_kernels.ln(each) for each in x.tolist()]
