"""Sums over steps, and the means they give."""

import math

import pytest

from ddmlp.metrics import Stretch


def test_simple():
    stretch = Stretch()
    stretch.add(rows=30, error=60.0, mistakes=3, seconds=0.5)
    stretch.add(rows=10, error=20.0, mistakes=1, seconds=0.5)
    assert (stretch.error, stretch.mistaken, stretch.speed) == pytest.approx((2.0, 0.1, 40.0))


def test_without_rows_there_is_no_mean():
    assert math.isnan(Stretch().error)
    assert math.isnan(Stretch().mistaken)
    assert Stretch().speed == 0
