"""The reference: the note's formulas in NumPy, compared with scalar loops, the slopes of E, and PyTorch."""

import numpy as np
import pytest

from ddmlp.nn import reference
from ddmlp.nn.weights import Shape
from tests.support.gradients import SHAPES, apart, case, exact, reference_slopes, scalar_gradients


def check(given, gradients):
    """Whether these are the derivatives of E with respect to W1 and W2."""
    return all(apart(*pair) <= 1e-7 for pair in zip(gradients, reference_slopes(*given), strict=True))


@pytest.mark.parametrize(("shape", "rows"), SHAPES)
def test_simple(shape, rows):
    given = exact(*case(shape, rows))
    expected, d1, d2 = scalar_gradients(*given)
    found = reference.gradients(*given)
    assert reference.error(*given) == pytest.approx(expected, rel=1e-12)
    assert apart(found[0], d1) <= 1e-12
    assert apart(found[1], d2) <= 1e-12


@pytest.mark.parametrize(("shape", "rows"), SHAPES)
def test_slopes_of_the_error(shape, rows):
    given = exact(*case(shape, rows))
    assert check(given, reference.gradients(*given))


@pytest.mark.parametrize("wrong", ["no 1 - y1", "no y1", "transposed", "sign", "mean", "one entry", "one row missing"])
def test_wrong_gradient_is_found(wrong):
    w1, w2, x, t = exact(*case(Shape(5, 4, 4), 3))
    y1, y2 = reference.forward(w1, w2, x)
    back = (y2 - t) @ (w2 if wrong == "transposed" else w2.T)
    back *= {"no 1 - y1": y1, "no y1": 1 - y1}.get(wrong, y1 * (1 - y1))
    d1, d2 = x.T @ back, y1.T @ (y2 - t)
    if wrong == "sign":
        d2 *= -1
    elif wrong == "mean":
        d1, d2 = d1 / 3, d2 / 3
    elif wrong == "one entry":
        d1[2, 1] *= 1.001
    elif wrong == "one row missing":
        d1, d2 = reference.gradients(w1, w2, x[:2], t[:2])
    assert not check((w1, w2, x, t), (d1, d2))


def test_gradients_of_pytorch():
    """Recorded with PyTorch 2.13.0 (CPU, float64), which makes the derivative itself, by:

    w1 = torch.sin(torch.arange(35.0)).reshape(7, 5).requires_grad_()
    w2 = torch.sin(torch.arange(35.0, 55.0)).reshape(5, 4).requires_grad_()
    x = torch.cos(torch.arange(42.0)).square().reshape(6, 7)
    labels = torch.arange(6) % 4
    error = torch.nn.functional.cross_entropy(torch.sigmoid(x @ w1) @ w2, labels, reduction="sum")
    error.backward()
    """
    w1, w2 = np.sin(np.arange(35.0)).reshape(7, 5), np.sin(np.arange(35.0, 55.0)).reshape(5, 4)
    given = w1, w2, (np.cos(np.arange(42.0)) ** 2).reshape(6, 7), np.eye(4)[np.arange(6) % 4]
    found = [reference.error(*given)]
    for layer in reference.gradients(*given):
        found += [np.linalg.norm(layer), layer[0, 0], layer[-1, 0], layer[2, 3], layer[-1, -1]]
    recorded = [
        7.957594210972955,
        *(1.242985233183885, 0.07845682150843068, 0.1696025600840546, 0.1615281235709905, -0.30299101082827773),
        *(0.8378825412423363, -0.2021178202119453, 0.11258873067194602, 0.09849531486483054, 0.23853336511767304),
    ]
    assert found == pytest.approx(recorded, rel=1e-12)
