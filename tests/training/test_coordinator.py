"""The coordinator: what it has the servers do, and when it refuses."""

import math

import pytest

from ddmlp.config import TrainConfig
from ddmlp.errors import ConfigError
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.coordinator import Coordinator
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.setup import start_server
from ddmlp.training.slices import NOTHING_HERE
from ddmlp.training.weight_store import WeightStore
from tests.support.runs import job

CONFIG, SHAPE = TrainConfig(), Shape(2, 3, 2)


class Commands(list):
    """Servers that note their commands."""

    def __getattr__(self, name):
        return lambda *arguments: self.append((name, *arguments))


@pytest.fixture
def servers():
    return Commands()


@pytest.fixture
def store():
    store = WeightStore(NOTHING_HERE)
    store.reserve(())
    store.publish(0)
    return store


def gradient(node, steepest=1.0):
    return Gradient(Unit(0, 0, node), Weights(NOTHING_HERE).flat, RowStats(4, 1, 0.5, 1, steepest), 0)


def test_simple(servers, store):
    coordinator = Coordinator(servers, store, SGD(CONFIG), 0)
    coordinator.begin_step(0, 0, 2)
    coordinator.receive(gradient(Node(1, 2)))
    assert coordinator.ready_step() is None
    coordinator.receive(gradient(Node(0, 1)))
    assert coordinator.ready_step() == 0
    into = store.reserve({0})
    assert coordinator.apply_step(0, 0.25, into) == (8, 2, 1.0, 2, 1.0)
    assert coordinator.version == 1
    assert servers == [("begin", 0, 0, 2), ("apply", 0, 0.25, {0})]


def test_not_finite(servers, store):
    """No server applies such a step."""
    coordinator = Coordinator(servers, store, SGD(CONFIG), 0)
    coordinator.begin_step(0, 0, 1)
    coordinator.receive(gradient(Node(0, 1), math.inf))
    with pytest.raises(FloatingPointError, match="step 0"):
        coordinator.apply_step(0, 0.25, store.reserve(()))
    assert (coordinator.version, servers) == (0, [("begin", 0, 0, 1)])


class Pool:
    """The part of a pool that has the versions."""

    def __init__(self):
        self.weights = WeightStore(NOTHING_HERE)
        self.reserve_weights, self.publish_weights = self.weights.reserve, self.weights.publish


def test_start(servers, tmp_path):
    """The servers get the versions of a checkpoint, the oldest first."""
    start = [Weights(SHAPE) for _ in range(3)]
    point = Checkpoint(start[2], 7, earlier=tuple(start[:2]))
    found = start_server(job(tmp_path, tmp_path, 1), SGD(CONFIG), point, Pool(), servers)
    assert isinstance(found, Coordinator)
    assert found.version == 7
    assert servers == [("load", 5, start[0]), ("load", 6, start[1]), ("load", 7, start[2])]


def test_optimizer_with_a_state(servers, tmp_path):
    class Momentum(SGD):
        def update(self, *arguments):
            super().update(*arguments)

    with pytest.raises(ConfigError, match="Momentum"):
        start_server(job(tmp_path, tmp_path, 1), Momentum(CONFIG), Checkpoint(Weights(SHAPE), 0), Pool(), servers)
    assert servers == []
