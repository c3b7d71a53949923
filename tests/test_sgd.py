"""The update."""

import numpy as np
import pytest

from ddmlp.sgd import update


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_simple(dtype):
    weights, gradient = np.array([1, 2, 3], dtype), np.array([4, -8, 0], dtype)
    out = np.empty(3, dtype)
    update(weights, gradient, 0.25, out)
    assert out.tolist() == [0, 4, 3]
    assert out.dtype == dtype
    assert weights.tolist() == [1, 2, 3]


def test_the_rate_is_rounded_once_to_the_type_of_the_weights():
    gradient = np.array([3], np.float32)
    out = np.empty(1, np.float32)
    update(np.array([1], np.float32), gradient, 0.1, out)
    assert out[0] == np.float32(1) - np.float32(0.1) * np.float32(3)
