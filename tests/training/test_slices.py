"""Slices of a flat buffer: they cover it, each number once, whatever the shape and their number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.nn.weights import LANES, Shape, Weights
from ddmlp.training.slices import NOTHING_HERE, cut, slice_shape


def test_simple():
    assert cut(Shape(784, 256, 10), 3) == [slice(0, 67712), slice(67712, 135488), slice(135488, 203264)]


@given(
    st.builds(Shape, st.integers(1, 900), st.integers(1, 300), st.integers(2, 40)),
    st.integers(1, 64),
)
def test_any_shape(shape, count):
    found = cut(shape, count)
    assert len(found) == count
    ends = [0, *(part.stop for part in found)]
    assert [part.start for part in found] == ends[:-1]
    assert ends[-1] == shape.size
    sizes = [part.stop - part.start for part in found]
    assert all(size % LANES == 0 for size in sizes)
    assert max(sizes) - min(sizes) <= LANES
    assert [slice_shape(part).size for part in found] == sizes


@pytest.mark.parametrize("shape", [NOTHING_HERE, slice_shape(slice(64, 64)), slice_shape(slice(64, 640))])
def test_weights_of_a_slice(shape):
    """A slice is stored as weights are."""
    weights = Weights(shape, np.arange(shape.size, dtype=np.float32))
    assert np.array_equal(weights.values, weights.flat)
