"""The weights: one buffer, a hash over its bytes, and the first numbers that are drawn."""

import hashlib
import struct

import numpy as np
import pytest

from ddmlp.nn.weights import Shape, Weights


def test_simple():
    """The layers are views of one buffer."""
    flat = np.arange(14, dtype=np.float32)
    weights = Weights(Shape(3, 2, 4), flat)
    assert weights.w1.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert weights.w2.tolist() == [[6, 7, 8, 9], [10, 11, 12, 13]]
    weights.w1[0, 0], weights.w2[1, 3] = -1, -2
    assert (flat[0], flat[13]) == (-1, -2)
    assert not np.any(Weights(Shape(3, 2, 4)).flat)


def test_sha256():
    """It is over the bytes of W1, then W2, row by row."""
    weights = Weights.draw(Shape(3, 2, 4), seed=5)
    numbers = [number for layer in (weights.w1, weights.w2) for row in layer.tolist() for number in row]
    assert len(numbers) == 14
    expected = hashlib.sha256(b"".join(struct.pack("<f", number) for number in numbers)).hexdigest()
    assert weights.sha256() == expected
    assert Weights(weights.shape, weights.flat.astype(">f4")).sha256() == expected
    weights.w2[1, 3] = np.nextafter(weights.w2[1, 3], np.float32(9))
    assert weights.sha256() != expected


def test_draw():
    """It depends on the shape and the seed alone."""
    shape = Shape(784, 30, 10)
    drawn = Weights.draw(shape, seed=3)
    np.random.seed(0)
    assert Weights.draw(shape, seed=3).sha256() == drawn.sha256()
    others = [Weights.draw(shape, seed=4), Weights.draw(Shape(784, 31, 10), seed=3)]
    assert len({drawn.sha256(), *(other.sha256() for other in others)}) == 3


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_draw_fills_its_bounds(seed):
    """Evenly."""
    weights = Weights.draw(Shape(784, 300, 10), seed)
    for layer, bound in ((weights.w1, 4 * (6 / 1084) ** 0.5), (weights.w2, (6 / 310) ** 0.5)):
        assert 0.99 * bound < np.abs(layer).max() <= bound * (1 + 1e-7)
        assert layer.std() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert abs(layer.mean()) < 0.03 * bound
        assert np.unique(layer).size > 0.95 * layer.size
