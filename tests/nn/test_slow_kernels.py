"""The fused multiply-add in software, which the slow kernels use, compared with exact fractions."""

from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.slow_kernels import fma, total

F = np.float32
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TINY, STEP = 2.0**-149, 2.0**-23  # the smallest float32 number, and the distance of neighbours from 1 on


def rounded(exact):
    """A fraction, rounded to the nearest float32; a tie goes to the even one."""
    near = F(float(exact))  # rounded twice, so it is the nearest one or its neighbour
    if not np.isfinite(near):
        return near
    beside = [near, np.nextafter(near, F(np.inf)), np.nextafter(near, F(-np.inf))]
    finite = [number for number in beside if np.isfinite(number)]
    return min(finite, key=lambda number: (abs(Fraction(float(number)) - exact), int(number.view(np.uint32)) & 1))


@given(NUMBERS, NUMBERS, NUMBERS)
@example(1 + STEP, 1 + STEP, TINY)  # halfway between two float32 numbers, except for the last term
@example(1 + STEP, 1 - STEP / 2, 2.0**-60)
@example(1 + STEP, 1 + STEP, -TINY)
@example(2.0**-75, 2.0**-75, TINY)  # 2^-150, half of TINY
@example(2.0**-75, 2.0**-75, -TINY)
@example(2.0**-75, 2.0**-75, 0.0)
@example(1.5 * 2.0**-75, 2.0**-75, 0.0)
@example(-(2.0**-80), 2.0**-80, 0.0)
@example(2.0**100, 2.0**27, -(2.0**104))  # 2^127, which is finite, although the product and the sum are near the limit
@example(3e38, 1.5, -3e38)
def test_one_rounding(a, b, c):
    a, b, c = F(a), F(b), F(c)
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if abs(exact) >= Fraction(float(np.finfo(F).max)):
        return
    found = fma(a, b, c)
    assert found.dtype == F
    expected = rounded(exact)
    assert found == expected
    if exact:
        assert np.signbit(found) == (exact < 0)


def test_specials():
    one, zero, big, infinite = F(1), F(0), F(3e38), F(np.inf)
    with np.errstate(all="ignore"):
        assert fma(big, F(2), -big) == big, "the product is not rounded"
        assert fma(big, F(2), zero) == infinite
        assert np.isnan(fma(infinite, zero, one))
        assert np.isnan(fma(infinite, one, -infinite))
    for a, c, negative in [(zero, zero, False), (-zero, zero, False), (-zero, -zero, True), (zero, -zero, False)]:
        assert fma(a, one, c) == 0
        assert np.signbit(fma(a, one, c)) == negative


def test_tree():
    """Lanes 0 and 32 are added first: here they cancel out, and the rest is exact."""
    parts = np.zeros(64, F)
    parts[[0, 32, 1, 17]] = 1e30, -1e30, 1, 2
    assert total(parts) == 3
    parts[[32, 16]] = 0, -1e30
    assert total(parts) == 3
    parts[[16, 1]] = 0, -1e30
    assert total(parts) == 0
