"""The inputs: pixels scaled, and nothing left out that has any ink."""

import numpy as np
import pytest
from ddmlp.nn.inputs import MAX_LIVE, TREADS, Inputs, Loader
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.data.idx import read_idx
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights

HIDDEN = 400  # so that a tread is worth its cost from 30 rows on


def loader(pixels, dtype=np.float32, hidden=HIDDEN):
    return Loader(Shape(pixels.shape[1], hidden, 10), len(pixels), dtype)


def whole(inputs, count):
    """x (B, m) with the columns that were left out, and only what the treads say is to be multiplied."""
    x = np.zeros_like(inputs.x)
    for rows, begin, end in inputs.blocks:
        x[:rows, begin:end] = inputs.x[:rows, begin:end]
    full = np.zeros((len(x), count), x.dtype)
    full[:, slice(None) if inputs.live is None else inputs.live] = x
    return full


def labels_of(pixels):
    """Something to know each row by."""
    return np.arange(len(pixels), dtype=np.uint8)


@pytest.fixture(scope="module")
def digits(sample):
    """The first 200 training digits and their labels."""
    pixels = read_idx(sample / "train-images-idx3-ubyte.gz")[:200].reshape(200, -1)
    return pixels, read_idx(sample / "train-labels-idx1-ubyte.gz")[:200]


def test_simple():
    pixels = np.array([[0, 255, 0, 0, 51], [0, 0, 0, 0, 102]], np.uint8)
    x, live, treads = loader(pixels).load(pixels)
    assert live.tolist() == [1, 4]
    assert treads is None
    np.testing.assert_allclose(x, [[1, 0.2], [0, 0.4]], rtol=1e-6)


def test_a_simple_staircase():
    """Half of the rows have ink in column 3 alone, one of the others in column 0, too."""
    pixels = np.zeros((64, 5), np.uint8)
    pixels[:, 3], pixels[40, 0] = 255, 51
    (x, live, treads), labels = loader(pixels).arrange(pixels, labels_of(pixels))
    assert live.tolist() == [3, 0]
    assert treads == [(64, 0, 1), (32, 1, 2)]
    assert labels.tolist() == [40, *range(40), *range(41, 64)]
    np.testing.assert_allclose(x, [[1, 0.2]] + 63 * [[1, 0]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_are_scaled(dtype):
    pixels = np.arange(256, dtype=np.uint8)[None]
    x, live, _ = loader(pixels, dtype).load(pixels)
    assert live is None
    np.testing.assert_allclose(x[0], np.arange(256) / 255, rtol=2 * np.finfo(dtype).eps)
    assert (x.min(), x.max(), x.dtype) == (0, 1, dtype)


@given(st.integers(1, 5), st.integers(1, 40), st.data())
def test_zeros_are_left_out(rows, inputs, data):
    """Exactly those."""
    ink = data.draw(st.lists(st.integers(0, rows * inputs - 1), max_size=inputs))
    pixels = np.zeros(rows * inputs, np.uint8)
    pixels[ink] = 200
    pixels = pixels.reshape(rows, inputs)
    found = loader(pixels).load(pixels)
    inked = np.flatnonzero(pixels.any(axis=0))
    assert (found.live is None) == (len(inked) > MAX_LIVE * inputs)
    assert found.live is None or found.live.tolist() == inked.tolist()
    assert np.array_equal(whole(found, inputs), pixels * np.float32(1 / 255))


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_staircase_has_every_row(rows, inputs, seed, density):
    """Once, with all its ink."""
    draw = np.random.default_rng(seed)
    pixels = (draw.random((rows, inputs)) < density * draw.random(inputs) ** 4).astype(np.uint8) * np.uint8(99)
    numbers = np.arange(rows) % 256
    found, labels = loader(pixels).arrange(pixels, numbers.astype(np.uint8))
    # Rows of the same label are the same distance apart, so their order can be told from the order of the labels.
    expected = sorted(zip(numbers.tolist(), pixels.tolist(), strict=True))
    assert sorted(zip(labels.tolist(), np.rint(whole(found, inputs) * 255).tolist(), strict=True)) == expected
    if found.treads is not None:
        counts, begins, ends = zip(*found.treads, strict=True)
        assert 2 <= len(counts) <= TREADS
        assert list(counts) == sorted(counts, reverse=True)
        assert counts[0] == rows
        assert (*begins, found.x.shape[1]) == (0, *ends)
        assert sum(count * (end - begin) for count, begin, end in found.treads) <= MAX_LIVE * pixels.size


def test_staircase_of_real_digits(digits):
    """It leaves out a sixth more."""
    pixels, labels = digits
    plain = loader(pixels).load(pixels)
    found, _ = loader(pixels).arrange(pixels, labels)
    assert np.array_equal(np.sort(found.live), plain.live)
    assert len(found.treads) == TREADS
    assert sum(rows * (end - begin) for rows, begin, end in found.treads) < 5 / 6 * plain.x.size


@pytest.mark.parametrize(("rows", "hidden"), [(59, HIDDEN), (200, 30)])
def test_no_staircase(digits, rows, hidden):
    """There is none if it would cost more than it saves."""
    pixels, labels = (each[:rows] for each in digits)
    expected = loader(pixels).load(pixels)
    found, same = loader(pixels, hidden=hidden).arrange(pixels, labels)
    assert found.treads is None
    assert np.array_equal(found.x, expected.x)
    assert np.array_equal(same, labels)


def test_noise_is_multiplied_as_it_is():
    pixels = np.random.default_rng(1).integers(1, 256, (64, 50), dtype=np.uint8)
    (x, live, treads), _ = loader(pixels).arrange(pixels, labels_of(pixels))
    assert (live, treads) == (None, None)
    assert x.shape == pixels.shape


def test_smaller_batch(digits):
    """After a full one it is as if it were alone."""
    pixels, labels = digits
    used = loader(pixels)
    used.arrange(pixels, labels)
    for count in (3, 70):
        some = pixels[5 : 5 + count], labels[5 : 5 + count]
        (x, live, treads), order = used.arrange(*some)
        (alone, alone_live, alone_treads), alone_order = loader(some[0]).arrange(*some)
        assert x.shape == (count, len(live))
        assert np.array_equal(x, alone)
        assert np.array_equal(live, alone_live)
        assert np.array_equal(order, alone_order)
        assert treads == alone_treads
        assert (treads is None) == (count == 3)


@pytest.mark.parametrize("rows", [1, 2, 59, 64, 200])
def test_step_without_the_zeros(digits, rows):
    """It is the step with them."""
    pixels, labels = (each[:rows] for each in digits)
    weights = Weights.draw(Shape(784, 20, 10), 4)
    inputs, arranged = loader(pixels).arrange(pixels, labels)
    assert 0 < len(inputs.live) < 600
    assert (inputs.treads is not None) == (rows >= 64)
    dense, found = Weights(weights.shape), Weights(weights.shape, np.full(weights.shape.size, np.nan, np.float32))
    plain = Inputs(pixels * np.float32(1 / 255))
    expected = Network(weights.shape, rows).gradients(weights, plain, labels, dense)
    assert Network(weights.shape, rows).gradients(weights, inputs, arranged, found) == pytest.approx(expected, rel=1e-5)
    assert (found.live is None) == (rows > 2), "few are live in one image or two"
    found.expand()
    np.testing.assert_allclose(found.flat, dense.flat, rtol=1e-4, atol=1e-6)
    assert not found.w1[np.setdiff1d(np.arange(784), inputs.live)].any()
    assert found.w1[inputs.live].any(axis=1).all()


def test_all_pixels_are_zero(digits):
    weights, out = Weights.draw(Shape(784, 20, 10), 4), Weights(Shape(784, 20, 10))
    pixels = np.zeros((64, 784), np.uint8)
    inputs, labels = loader(pixels).arrange(pixels, digits[1][:64])
    assert inputs.x.shape == (64, 0)
    out.flat[:] = np.nan
    Network(weights.shape, 64).gradients(weights, inputs, labels, out)
    out.expand()
    assert not out.w1.any()
    np.testing.assert_allclose(Network(weights.shape, 64).forward(weights, inputs).sum(axis=1), 1, rtol=1e-6)
