"""The network, compared with the reference and the slopes of its error, and with extreme numbers."""

import math
import tracemalloc

import numpy as np
import pytest

from ddmlp.data.idx import read_idx
from ddmlp.nn import reference
from ddmlp.nn.network import Network, Steps
from ddmlp.nn.weights import Shape, Weights
from tests.support.gradients import SHAPES, apart, case, central_differences, exact, run

NEAR = 1e-6  # the relative error that float32 sums may have


def compare(weights, pixels, labels):
    """Assert that the network agrees with the reference."""
    given, network = exact(weights, pixels, labels), Network(weights.shape, len(labels))
    error, mistakes, gradient = run(weights, pixels, labels)
    _, y2 = reference.forward(*given[:3])
    assert error == pytest.approx(reference.error(*given), rel=NEAR)
    assert mistakes == (y2.argmax(axis=1) != labels).sum()
    for found, expected in zip((gradient.w1, gradient.w2), reference.gradients(*given), strict=True):
        assert apart(found, expected) <= NEAR
    probabilities, predicted, error = network.recognise(weights, pixels, labels)
    assert error == pytest.approx(reference.error(*given), rel=NEAR)
    assert np.array_equal(predicted, y2.argmax(axis=1))
    np.testing.assert_allclose(probabilities, y2, rtol=2e-5)


def test_simple():
    weights = Weights.join(np.array([[0.0]]), np.array([[2.0, 0.0]]))
    error, mistakes, gradient = run(weights, np.array([[51]], np.uint8), np.array([1], np.uint8))
    e = math.e
    assert error == pytest.approx(math.log(1 + e))
    assert mistakes == 1
    assert gradient.w1.tolist() == [[pytest.approx(0.2 * (e / (1 + e)) * 2 * 0.25)]]
    assert gradient.w2.tolist() == [[pytest.approx(0.5 * e / (1 + e)), pytest.approx(-0.5 * e / (1 + e))]]


@pytest.mark.parametrize(("shape", "rows"), [*SHAPES, (Shape(64, 9, 10), 33), (Shape(130, 70, 12), 200)])
def test_reference(shape, rows):
    compare(*case(shape, rows))


def test_real_digits(sample):
    pixels = read_idx(sample / "train-images-idx3-ubyte.gz")[:200].reshape(200, -1)
    compare(Weights.draw(Shape(784, 100, 10), 4), pixels, read_idx(sample / "train-labels-idx1-ubyte.gz")[:200])


@pytest.mark.parametrize(("shape", "rows"), SHAPES)
def test_slopes_of_the_error(shape, rows):
    """The error has the rounding of float32, so the steps must be large."""
    weights, pixels, labels = case(shape, rows)
    network, (_, _, gradient) = Network(shape, rows), run(weights, pixels, labels)
    w1, w2 = central_differences(
        lambda *_: network.recognise(weights, pixels, labels).error, weights.w1, weights.w2, 2**-6
    )
    assert apart(gradient.w1, w1) <= 1e-3
    assert apart(gradient.w2, w2) <= 1e-3


@pytest.mark.parametrize("size", [1e3, 1e30, -1e30])
def test_huge_weights(size):
    """Every number stays finite."""
    weights, pixels, labels = case(Shape(20, 30, 10), 8)
    weights.flat *= np.float32(size)
    error, mistakes, gradient = run(weights, pixels, labels)
    assert math.isfinite(error)
    assert error > 0
    assert 0 <= mistakes <= 8
    assert np.isfinite(gradient.flat).all()
    assert np.any(gradient.w2)
    y2 = Network(weights.shape, 8).recognise(weights, pixels).probabilities
    np.testing.assert_allclose(y2.sum(axis=1), 1, rtol=1e-6)
    assert y2.min() >= 0


def test_tiny_probability():
    """If the label's probability is tiny, the error is still exact."""
    weights = Weights.join(np.array([[0]]), np.array([[1000, -1000]]))
    found = Network(weights.shape).recognise(weights, np.ones((1, 1), np.uint8), np.ones(1, np.uint8))
    assert found.probabilities[0, 0] == 1
    assert 0 <= found.probabilities[0, 1] < 1e-37
    assert (found.predicted.tolist(), found.error) == ([0], 1000)


@pytest.mark.parametrize("size", [3e38, -3e38])
def test_differences_overflow(size):
    """If differences of outputs would overflow, the error is still finite."""
    weights = Weights.join(np.array([[100]]), np.array([[size, -size]]))
    label = np.array([size > 0], np.uint8)
    found = Network(weights.shape).recognise(weights, np.full((1, 1), 255, np.uint8), label)
    assert 1e38 < found.error < math.inf
    assert found.predicted[0] != label[0]


def test_sums_overflow():
    """If the sums of outputs overflow, the error is still finite."""
    weights = Weights.join(np.full((1, 3), 100), np.full((3, 2), [3e38, -3e38]))
    error, mistakes, _ = run(weights, np.full((1, 1), 255, np.uint8), np.ones(1, np.uint8))
    assert 1e38 < error < math.inf
    assert mistakes == 1


def test_equal_outputs():
    """The first of equal classes is predicted."""
    weights = Weights(Shape(3, 2, 4))
    found = Network(weights.shape).recognise(weights, np.ones((4, 3), np.uint8), np.arange(4, dtype=np.uint8))
    assert found.predicted.tolist() == [0, 0, 0, 0]
    assert found.error == pytest.approx(4 * math.log(4))
    assert run(weights, np.ones((4, 3), np.uint8), np.arange(4, dtype=np.uint8))[1] == 3


def test_no_labels():
    """The rows are classified, with the error for label 0."""
    weights, pixels, labels = case(Shape(6, 5, 4), 8)
    network = Network(weights.shape)
    found, expected = network.recognise(weights, pixels), network.recognise(weights, pixels, labels * 0)
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def test_sum_of_rows():
    weights, pixels, labels = case(Shape(6, 5, 4), 8)
    error, mistakes, gradient = run(weights, pixels, labels)
    rows = [run(weights, pixels[row : row + 1], labels[row : row + 1]) for row in range(8)]
    assert error == pytest.approx(sum(row[0] for row in rows))
    assert 0 < mistakes == sum(row[1] for row in rows)
    np.testing.assert_allclose(gradient.flat, sum(row[2].flat for row in rows), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
def test_read_only_pixels(frozen):
    """Pixels may be read-only, as in a mapped file, or not contiguous. They are not changed."""
    weights, pixels, labels = case(Shape(6, 5, 4), 8)
    expected = run(weights, pixels, labels)
    apart_ = np.zeros((8, 2, 6), np.uint8)[:, 1]
    apart_[...] = pixels
    given = pixels.copy() if frozen else apart_
    given.flags.writeable = not frozen
    found = run(weights, given, labels)
    assert found[:2] == expected[:2]
    assert found[2].flat.tobytes() == expected[2].flat.tobytes()
    assert np.array_equal(given, pixels)


def test_allocations():
    """A step allocates no array: pixels are never stored as floats, and buffers are kept."""
    shape, rows = Shape(784, 300, 10), 64
    weights, pixels, labels = case(shape, rows)
    network, out = Network(shape, rows), Weights(shape)
    rates, slots = np.full(1, 0.01, np.float32), np.zeros((1, 3), np.intp)
    steps = Steps(pixels, labels, np.array([0, rows]), rates, slots)
    stack = weights.flat.reshape(1, -1)
    assert allocated(lambda: np.empty(rows * 300, np.uint8)) >= rows * 300
    assert allocated(lambda: network.train(steps, stack)) < rows * 300
    assert allocated(lambda: network.gradient(weights, pixels, labels, out)) < rows * 300
    assert allocated(lambda: network.recognise(weights, pixels, labels)) < rows * 300


def allocated(action):
    """The peak of the bytes allocated during `action`, including arrays."""
    action()
    tracemalloc.start()
    try:
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        action()
        return tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("shape", "label"), [((3, 5), 1), ((2, 4), 1), ((2, 5), 3)])
def test_invalid_rows(shape, label):
    """A kernel would read or write outside its buffers."""
    network, weights = Network(Shape(5, 2, 3), 2), Weights(Shape(5, 2, 3))
    pixels, labels = np.ones(shape, np.uint8), np.array([0, label], np.uint8)
    expected = str(label) if label == 3 else r"\(2, 5\)"
    with pytest.raises(ValueError, match=expected):
        network.recognise(weights, pixels, labels)
    with pytest.raises(ValueError, match=expected):
        network.gradient(weights, pixels, labels, Weights(weights.shape))
    steps = Steps(pixels, labels, np.array([0, 2]), np.ones(1, np.float32), np.zeros((1, 3), np.intp))
    with pytest.raises(ValueError, match=expected):
        network.train(steps, weights.flat.reshape(1, -1))
