"""The update, and the step sizes."""

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Floats, Shape, Weights

SHAPE = Shape(1, 1, 2)
NOTHING: Floats = np.empty(0, np.float32)


def of(*numbers: float, shape: Shape = SHAPE) -> Weights:
    return Weights.from_values(shape, np.array(numbers, np.float32))


def updated(weights: Weights, left: Weights, right: Floats = NOTHING, rate: float = 0.25) -> Weights:
    out = Weights(weights.shape)
    SGD(TrainConfig()).update(weights, left.flat, right, rate, out)
    return out


def test_simple():
    weights = of(1, 2, 3)
    assert updated(weights, of(4, -8, 0)).values.tolist() == [0, 4, 3]
    assert updated(weights, of(4, -8, 0), of(0, 4, 4).flat).values.tolist() == [0, 3, 2]
    assert weights.values.tolist() == [1, 2, 3]


def test_rate_is_rounded_once():
    """The rate is rounded to float32; the product is not rounded before the sum."""
    assert updated(of(1, 1, 1), of(3, 0, 0), rate=0.1).flat[0] == np.float32(1 - 3 * float(np.float32(0.1)))


def test_halves_are_added_first():
    left, right = of(1e8, 1, 0), of(1, -1, 0)
    whole = Weights(SHAPE, left.flat + right.flat)
    assert whole.values[0] == 1e8, "rounded"
    found = updated(of(1e8, 2, 3), left, right.flat, 1.0)
    assert found.values.tolist() == updated(of(1e8, 2, 3), whole, rate=1.0).values.tolist() == [0, 2, 3]


@pytest.mark.parametrize("shape", [SHAPE, Shape(7, 3, 2), Shape(3, 130, 4)])
def test_in_place(shape: Shape):
    """It gives the same bits, and the padding behind the hidden units stays zero."""
    weights, left, right = (Weights.draw(shape, seed) for seed in (1, 2, 3))
    for half in (NOTHING, right.flat):
        expected = updated(weights, left, half, 0.3)
        inside = Weights(shape, weights.flat.copy())
        SGD(TrainConfig()).update(inside, left.flat, half, 0.3, inside)
        assert inside.flat.tobytes() == expected.flat.tobytes() != weights.flat.tobytes()
        assert not expected.flat.reshape(-1, shape.width)[:, shape.hidden :].any()


def step_sizes(versions, steps, **config):
    optimizer = SGD(TrainConfig(lr=0.8, batch=10, **config))
    return [optimizer.step_size(version, steps) for version in versions]


def test_step_size():
    assert step_sizes(range(4), 4, lr_schedule="constant") == [0.08] * 4
    assert step_sizes(range(5), 4, lr_schedule="linear") == pytest.approx([0.08, 0.06, 0.04, 0.02, 0])
    assert step_sizes((0, 10, 30), 0, lr_schedule="inverse", lr_half=10) == pytest.approx([0.08, 0.04, 0.02])
    falling = step_sizes(range(5), 4, lr_schedule="exponential", lr_end=1 / 16)
    assert falling == pytest.approx([0.08, 0.04, 0.02, 0.01, 0.005], rel=1e-14)
    assert step_sizes((0, 500, 1000), 1000, lr_schedule="exponential") == pytest.approx([0.08, 0.008, 0.0008])
    assert step_sizes((0, 3, 8), 8, lr_schedule="exponential", lr_end=1) == [0.08] * 3


def test_exponential_bits():
    """Recorded: on each processor, with each Python, these are the bits."""
    found = step_sizes((1, 12_345, 749_999), 750_000, lr_schedule="exponential", lr_end=0.005)
    assert [size.hex() for size in found] == ["0x1.47ad7cc5f0aecp-4", "0x1.2c50473c02cf3p-4", "0x1.a36ef0e1668c0p-12"]


@pytest.mark.parametrize(("asked", "expected"), [(False, [0.08, 0.08, 0.08]), (True, [0.08, 0.08, 0.02])])
def test_step_size_by_staleness(asked, expected):
    config = TrainConfig(lr=0.8, lr_schedule="constant", batch=10, staleness="inf", staleness_lr=asked)
    assert [SGD(config).step_size(9, 10, staleness) for staleness in (0, 1, 4)] == pytest.approx(expected)
