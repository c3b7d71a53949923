"""The weights: one buffer, its hash, and the initial values."""

import hashlib
import struct

import numpy as np
import pytest

from ddmlp.nn import lanes
from ddmlp.nn.weights import CACHE_LINE, LANES, Shape, Weights, zeros


def test_simple():
    """The layers are views of one buffer, whose rows are padded to whole vectors of hidden units."""
    shape = Shape(3, 2, 4)
    assert (shape.width, shape.size) == (64, 7 * 64)
    flat = np.arange(shape.size, dtype=np.float32)
    weights = Weights(shape, flat)
    assert weights.w1.tolist() == [[0, 1], [64, 65], [128, 129]]
    assert weights.w2.tolist() == [[192, 256, 320, 384], [193, 257, 321, 385]]
    assert weights.values.tolist() == [0, 1, 64, 65, 128, 129, 192, 256, 320, 384, 193, 257, 321, 385]
    weights.w1[0, 0], weights.w2[1, 3] = -1, -2
    assert (flat[0], flat[385]) == (-1, -2)
    assert not np.any(Weights(shape).flat)


@pytest.mark.parametrize(("hidden", "width"), [(1, 64), (64, 64), (65, 128), (300, 320)])
def test_width(hidden, width):
    shape = Shape(5, hidden, 3)
    assert (shape.width, shape.size) == (width, 8 * width)
    assert LANES == lanes.LANES


@pytest.mark.parametrize(("shape", "size"), [(Shape(3, 0, 2), 0), (Shape(3, 64, 0), 192), (Shape(0, 64, 0), 0)])
def test_without_units(shape, size):
    """A network without hidden units has no numbers; one without outputs is a matrix."""
    weights = Weights(shape, np.arange(size, dtype=np.float32))
    assert weights.flat.size == shape.size == size
    assert weights.w1.shape == shape[:2]
    assert np.array_equal(weights.w1.reshape(-1), weights.flat)


def test_join():
    """It copies, and rounds to float32; the padding behind the hidden units is zero."""
    w1, w2 = np.array([[0.1, 2], [3, 4], [5, 6]]), np.arange(8.0).reshape(2, 4)
    weights = Weights.join(w1, w2)
    assert weights.shape == (3, 2, 4)
    assert np.array_equal(weights.w1, w1.astype(np.float32))
    assert np.array_equal(weights.w2, w2)
    assert np.array_equal(weights.values, np.append(w1, w2).astype(np.float32))
    assert np.count_nonzero(weights.flat) == 13
    weights.w1[0, 0] = 9
    assert w1[0, 0] == 0.1


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1_000, 100_000])
def test_zeros(count):
    """They begin at a cache line."""
    array = zeros(count)
    assert (array.shape, array.dtype) == ((count,), np.float32)
    assert not array.any()
    assert count == 0 or array.ctypes.data % CACHE_LINE == 0
    array[...] = 1
    assert array.sum() == count
    assert not zeros(count).any(), "two arrays share no memory"


def test_sha256():
    """It covers the little-endian bytes of W1, then W2, row by row, and nothing else."""
    weights = Weights.draw(Shape(3, 2, 4), seed=5)
    numbers = [number for layer in (weights.w1, weights.w2) for row in layer.tolist() for number in row]
    assert len(numbers) == 14
    expected = hashlib.sha256(b"".join(struct.pack("<f", number) for number in numbers)).hexdigest()
    assert weights.sha256() == expected
    assert Weights(weights.shape, weights.flat.astype(">f4")).sha256() == expected
    weights.w2[1, 3] = np.nextafter(weights.w2[1, 3], np.float32(9))
    assert weights.sha256() != expected


@pytest.mark.parametrize(
    ("shape", "seed", "digest"),
    [
        ((3, 2, 4), 5, "9b367505ec482b88d8e966c5ed7e8f318ebc8afacf54708a842ae41065d60332"),
        ((784, 30, 10), 3, "c2b5489ad1409c5f15c66a6e931706d4df097e4c1152ad863f40c72881832a91"),
        ((784, 400, 10), 0, "5c237af3b1618e97832990e03113674ccc0aecd0bb5db8bc1f371ee4426976fa"),
    ],
)
def test_drawn_digest(shape, seed, digest):
    """It is the same on every machine."""
    assert Weights.draw(Shape(*shape), seed).sha256() == digest


def test_draw():
    """It depends only on the shape and the seed."""
    shape = Shape(784, 30, 10)
    drawn = Weights.draw(shape, seed=3)
    np.random.seed(0)
    assert Weights.draw(shape, seed=3).sha256() == drawn.sha256()
    others = [Weights.draw(shape, seed=4), Weights.draw(Shape(784, 31, 10), seed=3)]
    assert len({drawn.sha256(), *(other.sha256() for other in others)}) == 3
    assert not drawn.flat.reshape(794, 64)[:, 30:].any()


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_draw_is_uniform(seed):
    """The values fill their range evenly."""
    weights = Weights.draw(Shape(784, 300, 10), seed)
    for layer, bound in ((weights.w1, 4 * (6 / 1084) ** 0.5), (weights.w2, (6 / 310) ** 0.5)):
        assert 0.99 * bound < np.abs(layer).max() <= bound * (1 + 1e-7)
        assert layer.std() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert abs(layer.mean()) < 0.03 * bound
        assert np.unique(layer).size > 0.95 * layer.size
