"""Explanations: bit for bit as the slow kernels, and compared with the reference and the slopes of the output."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings

from ddmlp.nn import reference
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights
from tests.support import slow_kernels
from tests.support.gradients import SHAPES, apart, case, exact
from tests.support.kernel_cases import cases, check_padding, same


def output(w1, w2, x, k):
    """z2_k of one row x (m,), in float64."""
    return (1 / (1 + np.exp(-(x @ w1)))) @ w2[:, k]


@settings(max_examples=20)
@given(cases())
def test_simple(given):
    weights, some = Weights(given.shape, given.stack[0]), slice(0, 4)
    pixels, classes = given.pixels[some], given.labels[some].astype(np.intp)
    found = given.network.explain(weights, pixels, classes)
    expected = slow_kernels.explain(weights.w1, weights.w2, pixels, classes)
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        assert same(one, other)
    check_padding(given)


@pytest.mark.parametrize(("shape", "rows"), [*SHAPES, (Shape(130, 70, 12), 20)])
def test_reference(shape, rows):
    weights, pixels, labels = case(shape, rows)
    (w1, w2, x, _), classes = exact(weights, pixels, labels), labels.astype(np.intp)
    hidden, contributions, saliency = Network(shape).explain(weights, pixels, classes)
    assert apart(hidden, reference.forward(w1, w2, x)[0]) <= 1e-6
    assert apart(contributions, reference.contributions(w1, w2, x, classes)) <= 1e-6
    assert apart(saliency, reference.saliency(w1, w2, x, classes)) <= 1e-6
    outputs = [output(w1, w2, *each) for each in zip(x, classes, strict=True)]
    np.testing.assert_allclose(contributions.sum(axis=1), outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shape", "rows"), SHAPES)
def test_slopes_of_the_output(shape, rows):
    """The saliency is the gradient: each pixel is moved a little, up and down."""
    weights, pixels, labels = case(shape, rows)
    w1, w2, x, _ = exact(weights, pixels, labels)
    slopes = np.empty(x.shape)
    for row, pixel in np.ndindex(x.shape):
        up, down = x[row].copy(), x[row].copy()
        up[pixel] += 1e-5
        down[pixel] -= 1e-5
        slopes[row, pixel] = (output(w1, w2, up, labels[row]) - output(w1, w2, down, labels[row])) / 2e-5
    assert apart(reference.saliency(w1, w2, x, labels), slopes) <= 1e-8
    assert apart(Network(shape).explain(weights, pixels, labels.astype(np.intp))[2], slopes) <= 1e-6
    wrong = (w2.T[labels] * reference.forward(w1, w2, x)[0]) @ w1.T  # without 1 - y1
    assert apart(wrong, slopes) > 1e-3


def test_bits():
    """The same on every processor."""
    weights, pixels, labels = case(Shape(50, 70, 4), 5)
    found = Network(weights.shape).explain(weights, pixels, labels.astype(np.intp))
    assert hashlib.sha256(b"".join(each.tobytes() for each in found)).hexdigest()[:16] == "5b344417f655d5c7"


@pytest.mark.parametrize(("shape", "classes"), [((2, 4), [0, 1, 2]), ((2, 5), [0, 1]), ((2, 4), [0, 3])])
def test_misfits(shape, classes):
    with pytest.raises(ValueError, match="expected"):
        Network(Shape(4, 3, 3)).explain(
            Weights.draw(Shape(4, 3, 3), 0), np.zeros(shape, np.uint8), np.array(classes, np.intp)
        )
