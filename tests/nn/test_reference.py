"""The reference: the note's formulas in NumPy, against those of the scalars, and the fast network against it."""

import numpy as np
import pytest
from ddmlp.nn.inputs import Inputs

from ddmlp.nn import reference
from ddmlp.nn.network import Network
from ddmlp.nn.optimizer import update
from ddmlp.nn.weights import Shape, Weights
from tests.support.gradients import SHAPES, apart, case, run, scalar_gradients


def one_hot(labels, outputs):
    return np.eye(outputs)[labels]


@pytest.mark.parametrize(("shape", "rows"), SHAPES)
def test_simple(shape, rows):
    weights, x, labels = case(shape, rows)
    expected, d1, d2 = scalar_gradients(weights.w1.tolist(), weights.w2.tolist(), x.tolist(), labels.tolist())
    t = one_hot(labels, shape.outputs)
    found = reference.gradients(weights.w1, weights.w2, x, t)
    assert reference.error(weights.w1, weights.w2, x, t) == pytest.approx(expected, rel=1e-12)
    assert apart(found[0], d1) <= 1e-12
    assert apart(found[1], d2) <= 1e-12


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_network_computes_the_same(dtype, tolerance):
    shape = Shape(64, 9, 10)
    weights, x, labels = case(shape, 33, dtype)
    x[:, ::3] = 0
    t = one_hot(labels, shape.outputs)
    error, _, gradient = run(weights, x, labels)
    assert error == pytest.approx(reference.error(weights.w1, weights.w2, x, t), rel=tolerance)
    d1, d2 = reference.gradients(weights.w1, weights.w2, x, t)
    assert apart(gradient.w1, d1) <= tolerance
    assert apart(gradient.w2, d2) <= tolerance
    y2 = Network(shape, 33, dtype).forward(weights, Inputs(x))
    assert apart(y2, reference.forward(weights.w1, weights.w2, x)[1]) <= tolerance


def test_optimizer_computes_the_same():
    weights, x, labels = case(Shape(5, 4, 3), 7)
    d1, d2 = reference.gradients(weights.w1, weights.w2, x, one_hot(labels, 3))
    out = Weights(weights.shape, np.empty_like(weights.flat))
    assert update(weights, np.append(d1, d2), 0.25, out)
    assert np.array_equal(out.w1, reference.update(weights.w1, d1, 0.25))
    assert np.array_equal(out.w2, reference.update(weights.w2, d2, 0.25))
