"""Several servers: the weights of one, and what a server refuses."""

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import numpy as np
import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import ServerLostError, TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.training.messages import Unit
from ddmlp.transport.server_link import ServerLink
from ddmlp.transport.slice_commands import AHEAD
from ddmlp.transport.slice_messages import ADDED, APPLY, BEGIN, GRADIENT, LOAD, READ, Message
from ddmlp.transport.slice_peer import COORDINATOR
from tests.support.slices import serving, training
from tests.support.sockets import PLAN, SECRET, SHAPE, hello, next_frame, plain_kinds

UNIT = Unit(0, 0, Node(0, 1))


@pytest.mark.parametrize(
    ("servers", "workers", "kind"), [(1, 1, 0), (2, 1, 0), (2, 3, 0), (3, 3, 0), (2, 1, 1), (3, 3, 1), (2, 3, 2)]
)
def test_simple(dataset, expected, servers, workers, kind):
    with training(dataset, servers, workers, kind) as found:
        assert found.run() == expected
        assert found.loop.weights.sha256() == expected[0]
    assert [part.version for part in found.group.parts] == [PLAN.steps] * servers


@pytest.fixture
def servers(dataset):
    """Two servers with version 0, whose coordinator ends before them."""
    with serving(dataset, 2) as servers, servers.command() as servers.commands:
        servers.commands.load(0, Weights.draw(SHAPE, PLAN.seed))
        yield servers


def begin_many(servers, first):
    """Have the servers begin steps, until they end."""
    for step in range(first, 10_000):
        servers.commands.begin(step, 0, 2)


def full(number=1.0):
    return Weights(SHAPE, np.full(SHAPE.size, number, np.float32))


def test_messages_wait(servers):
    """A gradient waits until its step has begun, and a read until the version exists."""
    weights, other = Weights(SHAPE), Weights(SHAPE)
    with ThreadPoolExecutor(2) as threads, servers.link(0) as adds, servers.link(1) as reads:
        added, read = threads.submit(adds.add, UNIT, full()), threads.submit(reads.read, 1, weights)
        while not all(any(peer.waiting for peer in server._peers) for server in servers.servers):
            pass
        assert not added.done()
        servers.commands.begin(0, 0, 1)
        added.result()
        assert not read.done()
        servers.commands.apply(0, 0.5, [0])
        assert read.result()
        assert reads.read(0, other)
    assert np.array_equal(weights.flat, other.flat - np.float32(0.5))
    assert servers.commands[1].sha256() == weights.sha256()


def test_version_given_up(servers):
    with servers.link(0) as link:
        servers.commands.begin(0, 0, 1)
        link.add(UNIT, full())
        servers.commands.apply(0, 0.5, [])
        assert link.read(1, Weights(SHAPE))
        assert not link.read(0, Weights(SHAPE))
        with pytest.raises(ServerLostError, match="version 0"):
            servers.commands[0]


@pytest.mark.parametrize("where", ["first", "last"])
def test_answers_differ(servers, where):
    """One server finds it, reports it to the coordinator, and ends."""
    servers.commands.begin(0, 0, 2)
    with servers.link(0) as one, servers.link(1) as other:
        one.add(UNIT, full())
        wrong = full()
        wrong.flat[0 if where == "first" else -1] += 1
        with pytest.raises((EOFError, ConnectionError)):
            other.add(UNIT, wrong)
        with pytest.raises(TrainingError, match="workers 0 and 1 computed different gradients of step 0"):
            begin_many(servers, 1)
    with pytest.raises(TrainingError):
        servers.serving[where == "last"].result()


def test_answers_differ_at_the_end(servers):
    """The error is not lost if the coordinator cannot be told."""
    servers.commands.begin(0, 0, 2)
    with servers.link(0) as one, servers.link(1) as other:
        one.add(UNIT, full())
        (peer,) = (peer for peer in servers.servers[0]._peers if peer.worker == COORDINATOR)
        peer.wire.send = Mock(side_effect=BrokenPipeError)
        with pytest.raises((EOFError, ConnectionError)):
            other.add(UNIT, full(2.0))
    with pytest.raises(TrainingError):
        servers.serving[0].result()


@pytest.mark.parametrize(
    "message",
    [
        Message(LOAD, version=1, follows=4 * SHAPE.size),
        Message(BEGIN, 1, 0, Node(0, 1)),
        Message(APPLY, 0, value=0.5),
        Message(READ, version=0, follows=4),
        Message.about(GRADIENT, UNIT),
        Message.about(GRADIENT, UNIT, 4 * SHAPE.size),
        Message.about(ADDED, UNIT),
    ],
)
def test_bad_message(servers, message):
    """A worker that sends it is dropped; the others are not disturbed."""
    link = ServerLink(servers.addresses[0][0], SECRET, hello(5, servers.dataset), Timeouts())
    link.wire.send(message.pack())
    with pytest.raises((EOFError, ConnectionResetError)):
        next_frame(link.wire)
    link.close()
    servers.commands.begin(0, 0, 1)
    with servers.link(0) as other:
        other.add(UNIT, full())


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize(
    "unit",
    [UNIT._replace(version=1), *(UNIT._replace(node=Node(*node)) for node in [(0, 4), (1, 3), (2, 2), (2, 1), (5, 6)])],
)
def test_impossible_unit(servers, unit, begun):
    """A worker that sends a gradient of it is dropped, also if the gradient waits for its step."""
    with ThreadPoolExecutor(1) as threads, servers.link(5) as bad, servers.link(0) as good:
        if begun:
            servers.commands.begin(0, 0, 3)
        sent = threads.submit(bad.add, unit, full())
        if not begun:
            while not sent.done() and not all(any(peer.waiting for peer in each._peers) for each in servers.servers):
                pass
            servers.commands.begin(0, 0, 3)
        with pytest.raises((EOFError, ConnectionError, ValueError)):
            sent.result()
        good.add(UNIT, full())


def test_two_at_once(servers):
    """A worker waits for the answer to a message before it sends the next one."""
    link = ServerLink(servers.addresses[0][0], SECRET, hello(5, servers.dataset), Timeouts())
    for _ in range(2):
        link.wire.send(Message(READ, version=9).pack())
    with pytest.raises((EOFError, ConnectionResetError)):
        next_frame(link.wire)
    link.close()


@plain_kinds
def test_end_of_the_coordinator(dataset, kind):
    with serving(dataset, 3) as servers:
        commands = servers.command(kind)
        commands.load(0, Weights(SHAPE))
        link = servers.link(0)
        commands.close()
        for each in servers.serving:
            assert each.result() is None
        with pytest.raises((EOFError, ConnectionError)):
            link.read(0, Weights(SHAPE))
        link.close()


def test_server_is_lost(servers):
    """The coordinator notices with one of the next commands."""
    servers.servers[1]._part = None  # so that it fails
    with pytest.raises(ServerLostError):
        begin_many(servers, 0)
    with pytest.raises(AttributeError):
        servers.serving[1].result()


def test_coordinator_waits(servers):
    """It is never more than AHEAD steps ahead of a server."""
    with servers.link(0) as link:
        for step in range(3 * AHEAD):
            servers.commands.begin(step, step, 1)
            link.add(Unit(step, step, Node(0, 1)), full())
            servers.commands.apply(step, 0.001, [])
            assert max(servers.commands._behind) <= AHEAD
        assert servers.commands[3 * AHEAD].finite
