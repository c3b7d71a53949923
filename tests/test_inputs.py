"""The inputs: pixels scaled, and no column left out that has any ink."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddmlp.idx import read_idx
from ddmlp.inputs import MOST_LIVE, Loader
from ddmlp.network import Network, Shape, Weights


def load(pixels, dtype=np.float32):
    return Loader(len(pixels), pixels.shape[1], dtype).load(pixels)


def whole(x, live, inputs):
    """x with the columns that were left out."""
    if live is None:
        return x
    full = np.zeros((len(x), inputs), x.dtype)
    full[:, live] = x
    return full


@pytest.fixture(scope="module")
def digits(sample):
    """The first 64 training digits and their labels."""
    pixels = read_idx(sample / "train-images-idx3-ubyte.gz")[:64].reshape(64, -1)
    return pixels, read_idx(sample / "train-labels-idx1-ubyte.gz")[:64]


def test_simple():
    x, live = load(np.array([[0, 255, 0, 0, 51], [0, 0, 0, 0, 102]], np.uint8))
    assert live.tolist() == [1, 4]
    np.testing.assert_allclose(x, [[1, 0.2], [0, 0.4]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_are_scaled_to_nought_to_one(dtype):
    x, live = load(np.arange(256, dtype=np.uint8)[None], dtype)
    assert live is None
    np.testing.assert_allclose(x[0], np.arange(256) / 255, rtol=2 * np.finfo(dtype).eps)
    assert (x.min(), x.max(), x.dtype) == (0, 1, dtype)


@settings(deadline=None, database=None)
@given(st.integers(1, 5), st.integers(1, 40), st.data())
def test_what_is_left_out_is_exactly_what_is_zero(rows, inputs, data):
    ink = data.draw(st.lists(st.integers(0, rows * inputs - 1), max_size=inputs))
    pixels = np.zeros(rows * inputs, np.uint8)
    pixels[ink] = 200
    pixels = pixels.reshape(rows, inputs)
    x, live = load(pixels)
    inked = np.flatnonzero(pixels.any(axis=0))
    assert (live is None) == (len(inked) > MOST_LIVE * inputs)
    assert live is None or live.tolist() == inked.tolist()
    assert np.array_equal(whole(x, live, inputs), pixels * np.float32(1 / 255))


def test_a_smaller_batch_after_a_full_one_is_as_if_it_were_alone(digits):
    pixels, _ = digits
    loader = Loader(64, 784)
    loader.load(pixels)
    x, live = loader.load(pixels[5:8])
    alone, alone_live = load(pixels[5:8])
    assert x.shape == (3, len(live))
    assert np.array_equal(x, alone)
    assert np.array_equal(live, alone_live)


@pytest.mark.parametrize("rows", [1, 2, 64])
def test_a_step_without_the_zeros_is_the_step_with_them(digits, rows):
    pixels, labels = (each[:rows] for each in digits)
    weights = Weights.draw(Shape(784, 20, 10), 4)
    x, live = load(pixels)
    assert 0 < len(live) < 600
    dense, found = Weights(weights.shape), Weights(weights.shape, np.full(weights.shape.size, np.nan, np.float32))
    expected = Network(weights.shape, rows).gradients(weights, whole(x, live, 784), labels, dense)
    assert Network(weights.shape, rows).gradients(weights, x, labels, found, live) == pytest.approx(expected, rel=1e-5)
    assert (found.live is None) == (rows == 64), "few are live in one image or two"
    found.expand()
    np.testing.assert_allclose(found.flat, dense.flat, rtol=1e-4, atol=1e-6)
    assert not found.w1[np.setdiff1d(np.arange(784), live)].any()
    assert found.w1[live].any(axis=1).all()


def test_pixels_that_are_all_zero_have_no_inputs(digits):
    _, labels = digits
    weights, out = Weights.draw(Shape(784, 20, 10), 4), Weights(Shape(784, 20, 10))
    x, live = load(np.zeros((64, 784), np.uint8))
    assert x.shape == (64, 0)
    out.flat[:] = np.nan
    Network(weights.shape, 64).gradients(weights, x, labels, out, live)
    out.expand()
    assert not out.w1.any()
    np.testing.assert_allclose(Network(weights.shape, 1).forward(weights, x[:1], live).sum(), 1, rtol=1e-6)
