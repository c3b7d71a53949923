"""A worker with several servers: which weights it reads, and when it leaves."""

import numpy as np
import pytest

from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Unit
from ddmlp.training.slices import NOTHING_HERE
from ddmlp.training.weight_slice import NO_ROWS
from ddmlp.transport.client import run_worker
from ddmlp.transport.slice_client import SliceClient

SHAPE = Shape(2, 3, 2)
COUNTED = RowStats(8, 1, 0.5, 1, 0.25)


class Coordinator:
    """Sends units, and notes the answers."""

    def __init__(self, *versions):
        self.sent = [Unit(step, version, Node(0, 1)) for step, version in enumerate(versions)]
        self.answers, self.failures, self.closed = [], [], False
        self.waits = []

    def units(self):
        for unit in self.sent:
            yield unit, Weights(NOTHING_HERE)

    def add_wait(self, seconds):
        self.waits.append(seconds)

    def answer(self, unit, row_stats):
        self.answers.append((unit, row_stats))

    def fail(self, error):
        self.failures.append(error)

    def close(self):
        self.closed = True


class Servers:
    """Have some versions, and note what is read and added."""

    def __init__(self, *versions, error=None, refuses=None):
        self.versions, self.error, self.refuses = versions, error, refuses
        self.reads, self.added, self.closed = [], [], False

    def read(self, version, out):
        self.reads.append(version)
        if self.error:
            raise self.error
        out.flat[:] = version
        return version in self.versions

    def add(self, unit, gradient):
        if self.refuses:
            raise self.refuses
        self.added.append((unit, gradient.flat.copy()))

    def close(self):
        self.closed = True


class Worker:
    """The gradient is the weights, plus 1."""

    def compute(self, unit, weights, out):  # noqa: ARG002
        out.flat[:] = weights.flat + 1
        return COUNTED


def worked(coordinator, servers):
    """Run a worker to its end; return the number of units that it answered with a gradient."""
    found = run_worker(Worker(), SliceClient(coordinator, servers, SHAPE))
    assert coordinator.closed
    assert servers.closed
    return found


def test_simple():
    """Each version is read once, and the servers have the gradient before the coordinator has the answer."""
    coordinator, servers = Coordinator(4, 4, 6), Servers(4, 6)
    assert worked(coordinator, servers) == 3
    assert servers.reads == [4, 6]
    assert [unit for unit, _ in servers.added] == coordinator.sent
    assert [np.unique(flat).tolist() for _, flat in servers.added] == [[5.0], [5.0], [7.0]]
    assert coordinator.answers == [(unit, COUNTED) for unit in coordinator.sent]
    assert len(coordinator.waits) == 6, "for weights and for gradients"
    assert min(coordinator.waits) >= 0


def test_version_given_up():
    """The unit is answered without rows, because no answer to it counts; the next one is computed."""
    coordinator, servers = Coordinator(4, 4, 6, 4), Servers(6)
    assert worked(coordinator, servers) == 1
    assert servers.reads == [4, 4, 6, 4]
    assert [unit.step for unit, _ in servers.added] == [2]
    assert [row_stats for _, row_stats in coordinator.answers] == [NO_ROWS, NO_ROWS, COUNTED, NO_ROWS]


@pytest.mark.parametrize("error", [EOFError("ended"), BrokenPipeError("broken"), ValueError("damaged")])
def test_server_ends(error):
    """The worker leaves: it answers no unit, and closes all connections."""
    coordinator = Coordinator(4, 4)
    assert worked(coordinator, Servers(4, error=error)) == 0
    assert worked(coordinator, Servers(4, refuses=error)) == 0
    assert coordinator.answers == []
    assert coordinator.failures == []
