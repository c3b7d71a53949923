"""The network: its derivatives checked four ways, its checker checked, and what it does with hard numbers."""

import math
import tracemalloc

import numpy as np
import pytest
from ddmlp.nn.inputs import Inputs

from ddmlp.data.idx import read_idx
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights
from tests.support.gradients import SHAPES, apart, case, central_differences, run, scalar_gradients


def check(weights, x, labels, gradient):
    """Whether `gradient` is the derivative of E, by W1 and by W2."""
    expected = central_differences(weights, x, labels)
    return apart(gradient.w1, expected.w1) <= 1e-7 and apart(gradient.w2, expected.w2) <= 1e-7


def test_simple():
    weights = Weights(Shape(1, 1, 2), np.array([0.0, 2.0, 0.0]))
    error, mistakes, gradient = run(weights, np.array([[3.0]]), np.array([1], np.uint8))
    e = math.e
    assert error == pytest.approx(math.log(1 + e))
    assert mistakes == 1
    assert gradient.w1.tolist() == [[pytest.approx(3 * (e / (1 + e)) * 2 * 0.25)]]
    assert gradient.w2.tolist() == [[pytest.approx(0.5 * e / (1 + e)), pytest.approx(-0.5 * e / (1 + e))]]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize(("shape", "rows"), SHAPES)
def test_sums_of_the_note(shape, rows, dtype, tolerance):
    weights, x, labels = case(shape, rows, dtype)
    error, _, gradient = run(weights, x, labels)
    expected, d1, d2 = scalar_gradients(weights.w1.tolist(), weights.w2.tolist(), x.tolist(), labels.tolist())
    assert error == pytest.approx(expected, rel=tolerance)
    assert apart(gradient.w1, d1) <= tolerance
    assert apart(gradient.w2, d2) <= tolerance


@pytest.mark.parametrize(("shape", "rows"), SHAPES)
def test_slopes_of_the_error(shape, rows):
    weights, x, labels = case(shape, rows)
    assert check(weights, x, labels, run(weights, x, labels)[2])


def test_slopes_of_real_digits(sample):
    x = read_idx(sample / "train-images-idx3-ubyte.gz")[:12].reshape(12, -1) / 255
    labels = read_idx(sample / "train-labels-idx1-ubyte.gz")[:12]
    weights = case(Shape(784, 5, 10), 1)[0]
    assert check(weights, x, labels, run(weights, x, labels)[2])


@pytest.mark.parametrize("wrong", ["no 1 - y1", "no y1", "transposed", "sign", "mean", "one entry", "one row missing"])
def test_check_finds_a_wrong_gradient(wrong):
    weights, x, labels = case(Shape(5, 4, 4), 3)
    y1 = 1 / (1 + np.exp(-x @ weights.w1))
    d2 = Network(weights.shape, 3, np.float64).forward(weights, Inputs(x)) - np.eye(4)[labels]
    back = d2 @ (weights.w2 if wrong == "transposed" else weights.w2.T)
    back *= {"no 1 - y1": y1, "no y1": 1 - y1}.get(wrong, y1 * (1 - y1))
    gradient = Weights(weights.shape, np.append(x.T @ back, y1.T @ d2))
    if wrong == "sign":
        gradient.w2 *= -1
    elif wrong == "mean":
        gradient.flat /= 3
    elif wrong == "one entry":
        gradient.w1[2, 1] *= 1.001
    elif wrong == "one row missing":
        gradient = run(weights, x[:2], labels[:2])[2]
    assert not check(weights, x, labels, gradient)


def test_gradients_are_those_of_pytorch():
    """Recorded with PyTorch 2.13.0 (CPU, float64), which makes the derivative itself, by:

    w1 = torch.sin(torch.arange(35.0)).reshape(7, 5).requires_grad_()
    w2 = torch.sin(torch.arange(35.0, 55.0)).reshape(5, 4).requires_grad_()
    x = torch.cos(torch.arange(42.0)).square().reshape(6, 7)
    labels = torch.arange(6) % 4
    error = torch.nn.functional.cross_entropy(torch.sigmoid(x @ w1) @ w2, labels, reduction="sum")
    error.backward()
    """
    weights = Weights(Shape(7, 5, 4), np.sin(np.arange(55.0)))
    x = (np.cos(np.arange(42.0)) ** 2).reshape(6, 7)
    error, _, gradient = run(weights, x, np.arange(6, dtype=np.uint8) % 4)
    found = [error]
    for layer in (gradient.w1, gradient.w2):
        found += [np.linalg.norm(layer), layer[0, 0], layer[-1, 0], layer[2, 3], layer[-1, -1]]
    recorded = [
        7.957594210972955,
        *(1.242985233183885, 0.07845682150843068, 0.1696025600840546, 0.1615281235709905, -0.30299101082827773),
        *(0.8378825412423363, -0.2021178202119453, 0.11258873067194602, 0.09849531486483054, 0.23853336511767304),
    ]
    assert found == pytest.approx(recorded, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e30, -1e30])
def test_huge_weights(size, dtype):
    """Every number stays finite."""
    weights, x, labels = case(Shape(20, 30, 10), 8, dtype)
    weights.flat *= dtype(size)
    error, mistakes, gradient = run(weights, x, labels)
    assert math.isfinite(error)
    assert error > 0
    assert 0 <= mistakes <= 8
    assert np.isfinite(gradient.flat).all()
    assert np.any(gradient.w2)
    y2 = Network(weights.shape, 8, dtype).forward(weights, Inputs(x))
    np.testing.assert_allclose(y2.sum(axis=1), 1, rtol=1e-6)
    assert y2.min() >= 0


def test_probability_rounds_to_zero():
    """That of the label: the error is finite all the same."""
    weights = Weights(Shape(1, 1, 2), np.array([0, 1000, -1000], np.float32))
    x, labels = np.ones((1, 1), np.float32), np.ones(1, np.uint8)
    network = Network(weights.shape, 1)
    assert network.forward(weights, Inputs(x)).tolist() == [[1, 0]]
    assert network.score(weights, Inputs(x), labels) == (1000, 1)


def test_differences_would_overflow():
    """Those of outputs: the error is finite all the same."""
    weights = Weights(Shape(1, 1, 2), np.array([100, 3e38, -3e38], np.float32))
    error, mistakes = Network(weights.shape, 1).score(
        weights, Inputs(np.ones((1, 1), np.float32)), np.ones(1, np.uint8)
    )
    assert 1e38 < error < math.inf
    assert mistakes == 1


def allocated(action):
    """The most bytes that were newly held at a time during `action`, arrays included."""
    action()
    tracemalloc.start()
    try:
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        action()
        return tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "rows", "least"),
    [(Shape(784, 300, 10), 64, 64 * 300), (Shape(8, 4, 10), 2**17, 2**17)],
    ids=["no array by hidden units", "no array by rows"],
)
def test_a_step_allocates_no_array(shape, rows, least):
    """`least` is the size of an array of bytes; below it are the bounded buffers in which NumPy converts types."""
    weights, x, labels = case(shape, rows, np.float32)
    network, out = Network(shape, rows), Weights(shape)
    assert allocated(lambda: np.empty(least, np.bool_)) >= least
    assert allocated(lambda: network.gradients(weights, Inputs(x), labels, out)) < least


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype(dtype):
    """That of the weights is that of everything."""
    weights, x, labels = case(Shape(4, 3, 2), 5, dtype)
    _, _, gradient = run(weights, x, labels)
    assert type(gradient) is type(weights)
    assert gradient.shape == weights.shape
    assert {gradient.flat.dtype, gradient.w1.dtype, gradient.w2.dtype} == {np.dtype(dtype)}
    assert Network(weights.shape, 5, dtype).forward(weights, Inputs(x)).dtype == dtype


def test_smaller_batch():
    """After a full one it is as if it were alone."""
    weights, x, labels = case(Shape(6, 5, 4), 8)
    network, out = Network(weights.shape, 8, np.float64), Weights(weights.shape, np.empty(weights.shape.size))
    network.gradients(weights, Inputs(x), labels, out)
    found = network.gradients(weights, Inputs(x[:3]), labels[:3], out)
    error, mistakes, expected = run(weights, x[:3], labels[:3])
    assert found == (error, mistakes)
    assert np.array_equal(out.flat, expected.flat)
    assert network.forward(weights, Inputs(x[:3])).shape == (3, 4)


def test_a_batch_is_the_sum_of_its_rows():
    weights, x, labels = case(Shape(6, 5, 4), 8)
    error, mistakes, gradient = run(weights, x, labels)
    rows = [run(weights, x[row : row + 1], labels[row : row + 1]) for row in range(8)]
    assert error == pytest.approx(sum(row[0] for row in rows))
    assert 0 < mistakes == sum(row[1] for row in rows)
    np.testing.assert_allclose(gradient.flat, sum(row[2].flat for row in rows), rtol=1e-10, atol=1e-14)


def test_equal_outputs():
    """The first is predicted."""
    weights = Weights(Shape(3, 2, 4), np.zeros(14))
    network = Network(weights.shape, 4, np.float64)
    error, mistakes = network.score(weights, Inputs(np.ones((4, 3))), np.arange(4, dtype=np.uint8))
    assert network.predicted.tolist() == [0, 0, 0, 0]
    assert (error, mistakes) == (pytest.approx(4 * math.log(4)), 3)
