"""A slice of the weights: the same bits as the part of all weights, and what it keeps and compares."""

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.errors import TrainingError
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import LANES, Shape, Weights
from ddmlp.plan.reduction_tree import Node
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.slices import cut, slice_shape
from ddmlp.training.weight_slice import NO_ROWS, WeightSlice

SHAPE, CONFIG = Shape(5, 70, 3), TrainConfig()
ROOT = Node(0, 5)
NODES = [Node(0, 2), Node(2, 4), Node(4, 5)]


def numbers(seed):
    return np.random.default_rng(seed).normal(size=SHAPE.size).astype(np.float32)


def unit(node, step=0, version=0):
    return Unit(step, version, node)


@pytest.fixture
def part():
    """A slice of one vector, of version 0, which has begun step 0."""
    part = WeightSlice(Shape(1, LANES, 0), SGD(CONFIG))
    part.load(0, np.zeros(LANES, np.float32))
    part.begin(0, read=0, microbatches=2)
    return part


def ones(number=1.0):
    return np.full(LANES, number, np.float32)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_simple(count, order):
    """Slices together have the bits of one server, whatever the order of arrival in each."""
    whole = Weights(SHAPE, numbers(0))
    server = ParameterServer(SGD(CONFIG), 0, Weights(SHAPE, numbers(0)))
    slices = cut(SHAPE, count)
    parts = [WeightSlice(slice_shape(each), SGD(CONFIG)) for each in slices]
    for place, part in zip(slices, parts, strict=True):
        part.load(0, whole.flat[place])
    for step in range(3):
        server.begin_step(step, step, ROOT.hi)
        gradients = [numbers(10 * step + index) for index in range(len(NODES))]
        for node, flat in zip(NODES, gradients, strict=True):
            server.receive(Gradient(unit(node, step, step), flat.copy(), NO_ROWS, 0))
            assert (server.ready_step() is not None) == (node == NODES[-1])
        server.apply_step(step, 0.3, server.weights)
        for number, (place, part) in enumerate(zip(slices, parts, strict=True)):
            part.begin(step, step, ROOT.hi)
            for index in np.roll(order, number):
                part.add(unit(NODES[index], step, step), gradients[index][place].copy(), 0, 0)
            part.apply(step, 0.3, keep=())
    found = np.concatenate([part.read(3) for part in parts])
    assert np.array_equal(found.view(np.uint32), server.weights.flat.view(np.uint32))


def test_buffer_is_free_after_a_call(part):
    """The array of a gradient may be overwritten once it was added: before the step is applied."""
    array = ones()
    part.add(unit(Node(0, 1)), array, 0, 0)
    array[:] = 5
    part.add(unit(Node(1, 2)), array, 1, 0)
    array[:] = np.nan
    part.apply(0, 1.0, keep=())
    assert part.read(1).tolist() == [-6.0] * LANES


def test_second_copy(part):
    part.add(unit(Node(0, 1)), ones(), 0, checksum=7)
    part.add(unit(Node(0, 1)), ones(), 1, checksum=7)
    part.add(unit(Node(1, 2)), ones(), 0, checksum=8)
    part.apply(0, 1.0, keep=())
    assert part.read(1).tolist() == [-2.0] * LANES, "it counts once"
    with pytest.raises(KeyError):
        part.apply(0, 1.0, keep=())


@pytest.mark.parametrize("applied", [False, True])
def test_copies_differ(part, applied):
    """They are compared as long as the version that they were computed with is kept."""
    for index in range(2):
        part.add(unit(Node(index, index + 1)), ones(), 0, checksum=7)
    if applied:
        part.apply(0, 1.0, keep=[0])
    with pytest.raises(TrainingError, match=r"workers 0 and 3 computed different gradients of step 0, microbatches 1"):
        part.add(unit(Node(1, 2)), ones(), 3, checksum=8)


def test_late_copy_is_ignored(part):
    """It was given up with its version."""
    for index in range(2):
        part.add(unit(Node(index, index + 1)), ones(), 0, checksum=7)
    part.apply(0, 1.0, keep=[])
    part.add(unit(Node(1, 2)), ones(), 3, checksum=8)
    assert part.read(1).tolist() == [-2.0] * LANES


def test_versions_are_kept(part):
    before = part.read(0)
    for step in range(1, 4):
        for index in range(2):
            part.add(unit(Node(index, index + 1), step - 1), ones(), 0, 0)
        part.apply(step - 1, 1.0, keep=[0])
        part.begin(step, 0, 2)
    assert part.version == 3
    assert part.read(0) is before
    assert not before.any()
    assert (part.read(1), part.read(2)) == (None, None)
    assert part.read(3).tolist() == [-6.0] * LANES


def test_steps_begin_in_order(part):
    assert part.has_begun(0)
    assert not part.has_begun(1)
    with pytest.raises(AssertionError, match="step 0"):
        part.begin(0, 0, 2)


def test_incomplete_step(part):
    part.add(unit(Node(0, 1)), ones(), 0, 0)
    with pytest.raises(AssertionError, match="not complete"):
        part.apply(0, 1.0, keep=())
