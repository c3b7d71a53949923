"""The update."""

import numpy as np
import pytest

from ddmlp.network import Shape, Weights
from ddmlp.sgd import update

SHAPE = Shape(1, 1, 2)


def of(numbers, dtype=np.float32, shape=SHAPE):
    return Weights(shape, np.array(numbers, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_simple(dtype):
    weights, out = of([1, 2, 3], dtype), of([0, 0, 0], dtype)
    assert update(weights, np.array([4, -8, 0], dtype), 0.25, out)
    assert out.flat.tolist() == [0, 4, 3]
    assert out.flat.dtype == dtype
    assert weights.flat.tolist() == [1, 2, 3]


def test_the_rate_is_rounded_once_to_the_type_of_the_weights():
    out = of([0, 0, 0])
    assert update(of([1, 1, 1]), np.array([3, 0, 0], np.float32), 0.1, out)
    assert out.flat[0] == np.float32(1) - np.float32(0.1) * np.float32(3)


def test_in_place_and_by_live_inputs_it_has_the_same_bits():
    shape, draw = Shape(7, 3, 2), np.random.default_rng(1)
    live = np.array([1, 5])
    gradient = Weights(shape, draw.normal(size=shape.size).astype(np.float32))
    gradient.w1[np.setdiff1d(np.arange(7), live)] = 0
    weights, out = Weights.draw(shape, 3), Weights(shape)
    assert update(weights, gradient.flat.copy(), 0.3, out)
    for rows in (None, live):
        same = Weights.draw(shape, 3)
        assert update(same, gradient.flat.copy(), 0.3, same, rows)
        assert same.flat.tobytes() == out.flat.tobytes() != weights.flat.tobytes()


@pytest.mark.parametrize("live", [None, np.array([0])])
@pytest.mark.parametrize(("bad", "rate"), [(np.nan, 0.1), (np.inf, 0.1), (-np.inf, 0.1), (1e30, 0.1), (1.0, 1e30)])
def test_what_would_not_be_finite_changes_nothing(bad, rate, live):
    weights = of([1, 2, 3])
    assert not update(weights, np.array([0, bad, 0], np.float32), rate, weights, live)
    assert weights.flat.tolist() == [1, 2, 3]
