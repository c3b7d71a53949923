"""The order in which the parameter server applies steps: as begun, or as completed within the bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.config import TrainConfig
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.parameter_server import ParameterServer
from tests.support.trees import SHAPE


def whole(step, read, value):
    """An answer that covers a whole step."""
    flat = np.full(SHAPE.size, value, np.float32)
    return Gradient(Unit(step, read, Node(0, 1)), flat, RowStats(1, 0, 0.0, 0, 1.0), worker=0)


def test_in_order():
    """Steps are applied in the order in which they were begun."""
    server = ParameterServer(SGD(TrainConfig()), 7, Weights.draw(SHAPE, 1), bound=2)
    for step, read in [(7, 5), (8, 6), (9, 7)]:
        server.begin_step(step, read, 1)
    applied = []
    for step, read in [(9, 7), (8, 6), (7, 5)]:
        answered = whole(step, read, step)
        server.receive(answered)
        while (ready := server.ready_step()) is not None:
            server.apply_step(ready, 1.0, Weights(SHAPE))
            applied.append(ready)
        answered.flat[:] = np.nan  # the buffer is reused for the next answer
    assert applied == [7, 8, 9]
    assert np.isfinite(server.weights.flat).all()
    assert server.weights.flat == pytest.approx(Weights.draw(SHAPE, 1).flat - (7 + 8 + 9), rel=1e-5)


def test_out_of_order():
    """A complete step is applied, unless an older one would then exceed the bound."""
    server = ParameterServer(SGD(TrainConfig()), 0, Weights.draw(SHAPE, 1), bound=2, in_order=False)
    for step in range(3):
        server.begin_step(step, 0, 1)
    server.receive(whole(2, 0, 1.0))
    assert server.ready_step() == 2
    server.apply_step(2, 1.0, Weights(SHAPE))
    server.begin_step(3, 1, 1)
    late = whole(3, 1, 1.0)
    server.receive(late)
    assert server.ready_step() is None, "steps 0 and 1 read version 0, and are due at versions 1 and 2"
    late.flat[:] = np.nan
    server.receive(whole(1, 0, 1.0))
    assert server.ready_step() == 1
    server.apply_step(1, 1.0, Weights(SHAPE))
    assert server.ready_step() is None
    server.receive(whole(0, 0, 1.0))
    assert [server.ready_step(), server.apply_step(0, 1.0, Weights(SHAPE)).rows] == [0, 1]
    assert server.ready_step() == 3
    server.apply_step(3, 1.0, Weights(SHAPE))
    assert (server.version, server.open) == (4, {})
    assert np.isfinite(server.weights.flat).all(), "the gradient that was held back was copied"


def test_too_old():
    server = ParameterServer(SGD(TrainConfig()), 3, Weights.draw(SHAPE, 1), bound=2, in_order=False)
    before = server.weights.sha256()
    server.begin_step(0, 0, 1)
    server.receive(whole(0, 0, 1.0))
    with pytest.raises(AssertionError, match=r"step 0 is 3 versions old.* 2$"):
        server.apply_step(0, 1.0, Weights(SHAPE))
    assert (server.version, server.weights.sha256()) == (3, before)


@given(st.data(), st.integers(0, 5), st.integers(1, 8))
def test_any_bound_and_arrivals(data, bound, window):
    """Every step is applied within the bound."""
    server = ParameterServer(SGD(TrainConfig()), 0, Weights.draw(SHAPE, 1), bound=bound, in_order=False)
    begun, out, old = 0, [], []
    while server.version < 30:
        while begun < 30 and len(server.open) < min(bound + 1, window):
            server.begin_step(begun, server.version, 1)
            out.append((begun, server.version))
            begun += 1
        server.receive(whole(*out.pop(data.draw(st.integers(0, len(out) - 1))), 0.0))
        while (step := server.ready_step()) is not None:
            old.append(server.version - server.open[step])
            server.apply_step(step, 1.0, Weights(SHAPE))
    assert len(old) == 30
    assert max(old) <= bound
