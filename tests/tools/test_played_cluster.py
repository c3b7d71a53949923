"""Clusters that are played in network namespaces, each with a few hosts."""

from pathlib import Path

import numpy as np
import pytest

from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.training.messages import Unit
from tools.benchmarks import played_cluster, scaling_measurement, shaped_network
from tools.benchmarks.played_arithmetic import Training, expected_sha256, fill
from tools.benchmarks.played_cluster import Cluster, play
from tools.benchmarks.processes import in_process

TRAINING = Training(steps=4, microbatches=8, hidden=64)


@pytest.fixture
def hosts():
    if reason := shaped_network.why_not():
        pytest.skip(f"no shaped links here: {reason}")


@pytest.mark.hosts
@pytest.mark.usefixtures("hosts")
@pytest.mark.parametrize("servers", [1, 2])
def test_simple(servers: int):
    """The weights are right. The delays, and the links to the servers, are a lower bound of the steps' duration."""
    microbatch, gradient, rate = 0.01, 0.02, 1e5
    found = in_process(play, Cluster(2, servers, rate, microbatch, gradient), TRAINING)
    assert found.sha256 == expected_sha256(TRAINING)
    assert len(found.seconds) == 2
    arrays = 2 * 4 * TRAINING.shape.size / servers - shaped_network.BURST
    assert sum(found.seconds) > 2 * (4 * microbatch + 2 * arrays / rate)


def play_wrongly() -> None:
    """Play a cluster, and expect the weights of one step less."""
    played_cluster.expected_sha256 = lambda training: expected_sha256(training._replace(steps=2))
    play(Cluster(1, 1, 0.0), TRAINING)


@pytest.mark.hosts
@pytest.mark.usefixtures("hosts")
def test_relays():
    """Two hosts with two workers each, which send one gradient a step."""
    found = in_process(play, Cluster(4, 1, 1e5, nodes=2), TRAINING)
    assert found.sha256 == expected_sha256(TRAINING)
    arrays = 2 * 4 * TRAINING.shape.size - shaped_network.BURST
    assert 2 * 2 * arrays / 1e5 < sum(found.seconds)


@pytest.mark.hosts
@pytest.mark.usefixtures("hosts")
def test_wrong_hash():
    with pytest.raises(TrainingError, match=expected_sha256(TRAINING)):
        in_process(play_wrongly)


@pytest.mark.hosts
@pytest.mark.usefixtures("hosts")
def test_costs(data: Path):
    """Those of a core, of a server and of a relay, for one weight: below a microsecond."""
    assert 0 < in_process(scaling_measurement.row_seconds, data, 64) < 1e-6
    assert 0 < in_process(scaling_measurement.gradient_seconds, 64, 2) < 1e-6
    assert 0 < scaling_measurement.addition_seconds(64, 3) < 1e-6


def test_expected_hash():
    """It depends on each microbatch, and on each step."""
    more = [TRAINING._replace(steps=5), TRAINING._replace(microbatches=9)]
    assert len({expected_sha256(each) for each in (TRAINING, *more)}) == 3


def test_gradients():
    """They add up exactly, and depend on the weights."""

    def gradient(lo: int, hi: int, weights: Weights) -> np.ndarray:
        out = Weights(TRAINING.shape)
        fill(Unit(2, 2, Node(lo, hi)), weights, out)
        return out.flat

    weights = Weights.draw(TRAINING.shape, 0)
    whole = gradient(0, 8, weights)
    assert (gradient(0, 3, weights) + gradient(3, 8, weights) == whole).all()
    weights.flat *= -1
    assert (gradient(0, 8, weights) != whole).all()
