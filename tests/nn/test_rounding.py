"""The rounding of a microbatch's gradient, compared with its definition."""

import numpy as np
import pytest

from ddmlp.nn import reference
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights
from tests.support.gradients import case

SHAPE = Shape(30, 70, 11)


def gradient(bits: int, rows: int = 40, size: int = 40, scale: float = 1.0) -> Weights:
    """Return the gradient of a step in microbatches of `size` rows, each rounded to `bits`."""
    weights, pixels, labels = case(SHAPE, rows)
    pixels[:, 3] = 0
    weights.flat[...] *= np.float32(scale)
    out = Weights(SHAPE)
    Network(SHAPE, size, -(-rows // size), bits).gradient(weights, pixels, labels, out)
    return out


def test_simple():
    plain, found = gradient(0), gradient(6)
    assert found.flat.tobytes() != plain.flat.tobytes()
    assert np.array_equal(found.w1, reference.rounded(plain.w1, 6))
    assert np.array_equal(found.w2.T, reference.rounded(plain.w2.T, 6))


@pytest.mark.parametrize("scale", [1, 1e-20, 1e-41])
@pytest.mark.parametrize("bits", [4, 5, 8, 12, 16])
def test_few_bits(bits: int, scale: float):
    """Each row consists of multiples of one power of two, which have at most `bits` bits, and is as near as can be."""
    plain, found = (gradient(each, scale=scale).flat.reshape(-1, SHAPE.width).astype(float) for each in (0, bits))
    for was, row in zip(plain, found, strict=True):
        top, most = abs(was).max(), 2 ** (bits - 1) - 1
        unit = max(2.0 ** np.ceil(np.log2(top / most)), 2.0**-126) if top else 1.0
        assert np.array_equal(row / unit, np.rint(was / unit))
        assert abs(row / unit).max() <= most
    assert not np.signbit(found[found == 0]).any()
    assert (found[3] == 0).all(), "a pixel that is zero in all rows"


def test_each_microbatch():
    """Each is rounded by itself, before they are added."""
    assert gradient(8, rows=40, size=10).flat.tobytes() != gradient(8, rows=40, size=20).flat.tobytes()
    whole, (weights, pixels, labels) = gradient(8, rows=40, size=20), case(SHAPE, 40)
    pixels[:, 3] = 0
    parts = [Weights(SHAPE), Weights(SHAPE)]
    for begin, part in zip((0, 20), parts, strict=True):
        rows = slice(begin, begin + 20)
        Network(SHAPE, 20, 1, 8).gradient(weights, pixels[rows], labels[rows], part)
    assert whole.flat.tobytes() == (parts[0].flat + parts[1].flat).tobytes()


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_not_finite(bad: float):
    """The row stays as it is; so it can be found, and the step is rejected."""
    row = np.array([[1.0, bad, 0.3]])
    assert np.array_equal(reference.rounded(row, 4), row, equal_nan=True)
    weights, pixels, labels = case(SHAPE, 5)
    weights.w2[1, 2] = bad
    out = Weights(SHAPE)
    _, _, steepest = Network(SHAPE, 5, 1, 4).gradient(weights, pixels, labels, out)
    assert steepest == np.inf
    assert not out.finite
