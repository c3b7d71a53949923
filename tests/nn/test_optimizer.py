"""The update."""

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.nn.optimizer import SGD, update
from ddmlp.nn.weights import Shape, Weights

SHAPE = Shape(1, 1, 2)


def of(numbers, dtype=np.float32, shape=SHAPE):
    return Weights(shape, np.array(numbers, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_simple(dtype):
    weights, out = of([1, 2, 3], dtype), of([0, 0, 0], dtype)
    assert update(weights, np.array([4, -8, 0], dtype), 0.25, out)
    assert out.flat.tolist() == [0, 4, 3]
    assert out.flat.dtype == dtype
    assert weights.flat.tolist() == [1, 2, 3]


def test_rate_is_rounded_once():
    """To the type of the weights."""
    out = of([0, 0, 0])
    assert update(of([1, 1, 1]), np.array([3, 0, 0], np.float32), 0.1, out)
    assert out.flat[0] == np.float32(1) - np.float32(0.1) * np.float32(3)


@pytest.mark.parametrize("live", [[1, 5], [0], [6], [], [0, 1, 6]])
def test_in_place_and_compact(live):
    """It has the same bits."""
    shape, draw = Shape(7, 3, 2), np.random.default_rng(1)
    compact = Weights(shape, draw.normal(size=shape.size).astype(np.float32))
    compact.live = np.array(live, np.intp)
    gradient = Weights(shape, compact.flat.copy())
    gradient.live = compact.live
    gradient.expand()
    assert gradient.live is None
    assert np.flatnonzero(gradient.w1.any(axis=1)).tolist() == live
    assert (gradient.w1[live] == compact.w1[: len(live)]).all()
    weights, out = Weights.draw(shape, 3), Weights(shape)
    assert update(weights, gradient.flat.copy(), 0.3, out)
    assert out.flat.tobytes() != weights.flat.tobytes()
    for same, into in [(weights, Weights(shape)), 2 * (Weights.draw(shape, 3),)]:
        assert update(same, compact.flat.copy(), 0.3, into, compact.live)
        assert into.flat.tobytes() == out.flat.tobytes()
    assert update(weights, gradient.flat.copy(), 0.3, weights)
    assert weights.flat.tobytes() == out.flat.tobytes()


@pytest.mark.parametrize("live", [None, np.array([0]), np.array([], np.intp)])
@pytest.mark.parametrize(("bad", "rate"), [(np.nan, 0.1), (np.inf, 0.1), (-np.inf, 0.1), (1e30, 0.1), (1.0, 1e30)])
def test_not_finite(bad, rate, live):
    """Nothing is changed then."""
    weights = of([1, 2, 3])
    with np.errstate(all="ignore"):
        assert not update(weights, np.array([0, bad, 0], np.float32), rate, weights, live)
    assert weights.flat.tolist() == [1, 2, 3]


def step_sizes(versions, steps, **config):
    optimizer = SGD(TrainConfig(lr=0.8, batch=10, **config))
    return [optimizer.step_size(version, steps) for version in versions]


def test_step_size():
    assert step_sizes(range(4), 4, lr_schedule="constant") == [0.08] * 4
    assert step_sizes(range(5), 4, lr_schedule="linear") == pytest.approx([0.08, 0.06, 0.04, 0.02, 0])
    assert step_sizes((0, 10, 30), 0, lr_schedule="inverse", lr_half=10) == pytest.approx([0.08, 0.04, 0.02])


@pytest.mark.parametrize(("asked", "expected"), [(False, [0.08, 0.08, 0.08]), (True, [0.08, 0.08, 0.02])])
def test_step_size_by_staleness(asked, expected):
    config = TrainConfig(lr=0.8, lr_schedule="constant", batch=10, staleness="inf", staleness_lr=asked)
    assert [SGD(config).step_size(9, 10, staleness) for staleness in (0, 1, 4)] == pytest.approx(expected)
