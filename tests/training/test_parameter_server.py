"""The parameter server: the same bits from any units in any order, and never weights that are not finite."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.config import TrainConfig
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.parameter_server import ParameterServer
from tests.support.trees import SHAPE, answer, cuts, leaves_of, sum_of


def server_at(version=0):
    return ParameterServer(SGD(TrainConfig()), version, Weights.draw(SHAPE, 1))


def begin(server, microbatches):
    """Begin the step that is applied to the server's version."""
    server.begin_step(server.version, server.version, microbatches)


def train(server, leaves, nodes, into=None):
    begin(server, len(leaves))
    for node in nodes:
        assert server.ready_step() is None
        server.receive(answer(leaves, node, server.version))
    assert server.ready_step() == server.version
    return server.apply_step(server.version, 0.25, into or Weights(SHAPE))


def test_simple():
    server = server_at()
    before, into = server.weights.flat.copy(), Weights(SHAPE)
    assert (server.version, server.ready_step(), server.open) == (0, None, {})
    gradient = Weights.from_values(SHAPE, np.arange(10, dtype=np.float32)).flat
    server.begin_step(0, 0, 2)
    assert server.open == {0: 0}
    server.receive(Gradient(Unit(0, 0, Node(1, 2)), gradient * 2, RowStats(2, 40, 0.5, 1, 0.5), worker=0))
    assert server.ready_step() is None
    server.receive(Gradient(Unit(0, 0, Node(0, 1)), gradient, RowStats(3, 2, 1.0, 3, 2.0), worker=1))
    assert server.ready_step() == 0
    assert server.apply_step(0, 0.5, into) == RowStats(5, 42, 1.5, 4, 2.0)
    assert (server.version, server.open) == (1, {})
    assert server.weights is into
    assert server.weights.flat.tolist() == (before - np.float32(0.5) * (gradient * 3)).tolist()


@given(cuts(), st.integers(0, 5))
@example((3, [Node(2, 3), Node(0, 1), Node(1, 2)]), 0)
@example((3, [Node(0, 2), Node(2, 3)]), 0)
def test_any_units_any_order(cut, seed):
    """The bits are the same."""
    count, nodes = cut
    leaves = leaves_of(count, seed)
    server = server_at()
    flat, row_stats = sum_of(leaves)
    expected = server.weights.flat - np.float32(0.25) * flat
    assert train(server, leaves, nodes) == row_stats
    assert server.weights.flat.tobytes() == expected.tobytes()


def test_order_matters():
    leaves = leaves_of(8)
    flat, _ = sum_of(leaves)
    one_by_one = np.zeros_like(flat)
    for leaf, *_ in leaves:
        one_by_one += leaf
    assert flat.tobytes() != one_by_one.tobytes()


@given(st.lists(cuts(), min_size=2, max_size=5))
def test_step_after_step(steps):
    """No step affects the next one's sum."""
    server, buffers = server_at(version=7), [Weights(SHAPE), Weights(SHAPE)]
    expected = server.weights.flat.copy()
    for step, (count, nodes) in enumerate(steps):
        leaves = leaves_of(count, seed=step)
        expected = expected - np.float32(0.25) * sum_of(leaves)[0]
        train(server, leaves, nodes, into=buffers[step % 2])
        assert server.version == 8 + step
        assert server.weights.flat.tobytes() == expected.tobytes()


def test_weights_are_not_copied():
    given = Weights.draw(SHAPE, 1)
    server = ParameterServer(SGD(TrainConfig()), 5, given)
    assert (server.version, server.weights) == (5, given)


def test_receive_copies():
    """The answer's buffer may be overwritten once a later answer is taken."""
    leaves = leaves_of(4)
    server, other = server_at(), server_at()
    train(other, leaves, [Node(0, 1), Node(3, 4), Node(1, 2), Node(2, 3)])
    begin(server, 4)
    buffer = np.empty(SHAPE.size, np.float32)
    for node in (Node(0, 1), Node(3, 4), Node(1, 2), Node(2, 3)):
        buffer[:] = leaves[node.lo][0]
        server.receive(answer(leaves, node)._replace(flat=buffer))
        if server.ready_step() is None:
            buffer[:] = np.nan
    server.apply_step(0, 0.25, Weights(SHAPE))
    assert server.weights.sha256() == other.weights.sha256()


def test_old_version_is_readable():
    server = server_at()
    leaves = leaves_of(3)
    for _ in range(4):
        reader, held = server.weights, server.weights.sha256()
        train(server, leaves, [Node(0, 2), Node(2, 3)])
        assert reader.sha256() == held
        assert server.weights.sha256() != held


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("steepest", [np.inf, 1e30, np.nan])
def test_too_steep(steepest, count):
    """The new weights might not be finite, so the old ones stay as they were."""
    server = server_at(version=3)
    train(server, leaves_of(1), [Node(0, 1)])
    before = server.weights.sha256()
    leaves = leaves_of(count)
    leaves[0] = (*leaves[0][:-1], steepest)
    with pytest.raises(FloatingPointError, match="step 4"):
        train(server, leaves, [Node(index, index + 1) for index in range(count)], server.weights)
    assert (server.version, server.weights.sha256()) == (4, before)


def test_too_large_a_rate():
    """The rate is part of the limit, too."""
    server = server_at()
    before = server.weights.sha256()
    begin(server, 1)
    server.receive(answer(leaves_of(1), Node(0, 1)))
    for rate in (1e30, np.inf):
        with pytest.raises(FloatingPointError), np.errstate(over="ignore"):
            server.apply_step(0, rate, server.weights)
    assert (server.version, server.weights.sha256()) == (0, before)


@pytest.mark.parametrize("step", [2, 4])
def test_wrong_step(step):
    server = server_at(version=3)
    begin(server, 1)
    with pytest.raises(KeyError, match=str(step)):
        server.receive(answer(leaves_of(1), Node(0, 1), step))
    assert server.ready_step() is None


def test_wrong_version():
    server = server_at(version=3)
    begin(server, 1)
    wrong = answer(leaves_of(1), Node(0, 1), 3)
    with pytest.raises(AssertionError, match="was to read version 3"):
        server.receive(wrong._replace(unit=wrong.unit._replace(version=2)))
    assert server.ready_step() is None


def test_incomplete_step():
    server = server_at()
    begin(server, 2)
    server.receive(answer(leaves_of(2), Node(0, 1)))
    with pytest.raises(AssertionError, match="not complete"):
        server.apply_step(0, 0.1, Weights(SHAPE))
    assert server.version == 0


def test_step_begun_twice():
    server = server_at()
    begin(server, 2)
    with pytest.raises(AssertionError, match="step 0 has begun already"):
        begin(server, 2)
