"""The kernels, bit for bit: compared with the slow ones, and for inputs of any shape."""

import numpy as np
import pytest
from hypothesis import event, given

from ddmlp.data.idx import read_idx
from ddmlp.nn.network import Network
from ddmlp.nn.sparse import INPUTS
from ddmlp.nn.steps import add_gradient, descend_sum
from ddmlp.nn.weights import Shape, Weights
from tests.support import slow_kernels
from tests.support.guards import Guards
from tests.support.kernel_cases import build, cases, check_padding, node, plain, same, slow_steps, train

F = np.float32
NOTHING = np.zeros(0, F)


@given(cases())
def test_gradient(case):
    weights, rows = Weights(case.shape, case.stack[0]), case.bounds[1]
    before = case.stack.tobytes()
    out, (error, mistakes, steepest) = node(case, weights, 0, rows)
    expected = slow_kernels.gradient(
        weights.w1, weights.w2, case.pixels[:rows], case.labels[:rows], case.size, case.bits
    )
    assert same(out.w1, expected.w1)
    assert same(out.w2, expected.w2)
    assert (error, mistakes, steepest) == expected[:3]
    assert case.stack.tobytes() == before
    check_padding(case, out.flat)


@given(cases())
def test_recognise(case):
    weights = Weights(case.shape, case.stack[0])
    found = case.network.recognise(weights, case.pixels, case.labels)
    probabilities, predicted, error = slow_kernels.recognise(weights.w1, weights.w2, case.pixels, case.labels)
    assert same(found.probabilities, probabilities)
    assert np.array_equal(found.predicted, predicted)
    assert found.error == error
    check_padding(case)


@given(cases())
def test_steps(case):
    """Steps in one call, also ones that read an older version, or write to another buffer."""
    expected, found = slow_steps(case, case.stack)
    stats, done = train(case, case.stack)
    event(f"{done} of {case.count} steps")
    assert done == len(found)
    assert same(case.stack, expected)
    for step, each in enumerate(found):
        assert (stats.errors[step], stats.mistakes[step], stats.steepest[step]) == each[:3]
    check_padding(case)


@given(cases())
def test_calls(case):
    """Steps in one call equal single steps, also those of a network with other buffers."""
    _, done = train(case, stack := case.stack.copy())
    other = Network(case.shape, case.size, 300, case.bits)
    for network in (case.network, other):
        one_by_one = case.stack.copy()
        made = [train(case, one_by_one, step, step + 1, network)[1] for step in range(min(done + 1, case.count))]
        assert sum(made) == done
        assert one_by_one.tobytes() == stack.tobytes()


@given(cases())
def test_gradient_and_update(case):
    """A gradient and an update in two calls equal the step."""
    read, source, target = case.slots[0]
    rate, rows = case.rates[0], case.bounds[1]
    gradient, _ = node(case, Weights(case.shape, case.stack[read]), 0, rows)
    expected = case.stack.copy()
    _, done = train(case, expected, 0, 1)
    if done:
        descend_sum(case.stack[source], gradient.flat, NOTHING, rate, case.stack[target])
    assert case.stack.tobytes() == expected.tobytes()
    check_padding(case)


@given(cases())
def test_tree_of_nodes(case):
    """Nodes computed separately and added by `add_gradient` equal those of the step."""
    read, source, target = case.slots[0]
    rate, rows, size = case.rates[0], int(case.bounds[1]), case.size
    weights = Weights(case.shape, case.stack[read])

    def sum_of(begin, end):
        sides = split(begin, end)
        if sides is None:
            return node(case, weights, begin, end)
        (left, one), (right, other) = sum_of(begin, sides), sum_of(sides, end)
        add_gradient(left.flat, right.flat)
        return left, (one[0] + other[0], one[1] + other[1], max(one[2], other[2]))

    def split(begin, end):
        count = -(-(end - begin) // size)
        return begin + (size << (count - 1).bit_length() - 1) if count > 1 else None

    whole, counted = node(case, weights, 0, rows)
    added, found = sum_of(0, rows)
    assert same(added.flat, whole.flat)
    assert found == counted
    stats, done = train(case, expected := case.stack.copy(), 0, 1)
    assert (stats.errors[0], stats.mistakes[0], stats.steepest[0]) == counted
    if done and (middle := split(0, rows)):
        left, right = sum_of(0, middle)[0], sum_of(middle, rows)[0]
        descend_sum(case.stack[source], left.flat, right.flat, rate, case.stack[target])
        assert case.stack.tobytes() == expected.tobytes()


def test_real_digits(sample):
    pixels = read_idx(sample / "train-images-idx3-ubyte.gz")[:330].reshape(330, -1)
    labels = read_idx(sample / "train-labels-idx1-ubyte.gz")[:330]
    weights = [Weights.draw(Shape(784, 300, 10), seed) for seed in range(3)]
    case = build(weights[0].shape, 150, weights, pixels, labels, np.array([0, 150, 330]), np.random.default_rng(1))
    case.slots[...] = [[0, 0, 1], [0, 1, 2]]  # the second step has a delay of 1
    expected, found = slow_steps(case, case.stack)
    stats, done = train(case, case.stack)
    assert (done, len(found)) == (2, 2)
    assert same(case.stack, expected)
    assert stats.errors.tolist() == [each.error for each in found]
    check_padding(case)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", range(1, 18))
def test_sizes_of_trees(rows, size):
    case = plain(Shape(3, 2, 3), size, [0, rows])
    expected, _ = slow_steps(case, case.stack)
    assert train(case, case.stack)[1] == 1
    assert same(case.stack, expected)
    check_padding(case)


@pytest.mark.parametrize("target", [0, 1], ids=["other buffer", "in place"])
@pytest.mark.parametrize("size", [4, 2], ids=["one microbatch", "two"])
@pytest.mark.parametrize("wrong", ["rate nan", "rate inf", "rate", "w1 nan", "w2 nan", "w2 inf", "w2 -inf", "w2"])
def test_refused(wrong, size, target):
    """If the second of three steps is refused, it and the third one change nothing."""
    case = plain(Shape(5, 3, 4), size, [0, 4, 8, 12])
    case.pixels[4:8] |= 1
    case.slots[1:] = 1, 1, target
    name, _, number = wrong.partition(" ")
    bad = float(number or 1e30)
    if name == "rate":
        case.rates[1] = bad
    else:
        weights = Weights(case.shape, case.stack[1])
        getattr(weights, name)[...] *= F(1e8)
        getattr(weights, name)[1, 2] = bad
    before = case.stack.copy()
    stats, done = train(case, case.stack)
    assert done == 1
    assert case.stack[1].tobytes() == before[1].tobytes()
    train(case, before, 0, 1)
    assert case.stack.tobytes() == before.tobytes()
    if name != "rate":
        assert stats.steepest[1] > 1e25


def test_gradient_overflows():
    """Its terms are finite, and with the small rate the update would seem to be finite, too."""
    case = plain(Shape(1, 1, 2), 300, [0, 300], density=1)
    case.pixels[...], case.labels[...], case.rates[...] = 255, 0, 1e-30
    weights = Weights(case.shape, case.stack[0])
    weights.w1[...], weights.w2[...] = 0, [-1e38, 1e38]
    before = case.stack.copy()
    stats, done = train(case, case.stack)
    assert np.isfinite(stats.steepest[0])
    assert done == 0
    assert case.stack.tobytes() == before.tobytes()


def test_inputs():
    """value / 255, rounded once."""
    assert INPUTS.dtype == F
    assert INPUTS.tolist() == [float(F(value) / F(255)) for value in range(256)]


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
def test_descend_sum(right, in_place):
    draw, guards = np.random.default_rng(1), Guards()
    source, left, other, target = (guards.copy(draw.normal(size=192).astype(F)) for _ in range(4))
    expected = slow_kernels.fma(-F(0.3), left + other if right else left, source)
    kept = source.copy(), left.copy(), other.copy()
    target = source if in_place else target
    descend_sum(source, left, other if right else NOTHING, F(0.3), target)
    assert same(target, expected)
    assert in_place or same(source, kept[0])
    assert same(left, kept[1])
    assert same(other, kept[2])
    add_gradient(left, other)
    assert same(left, kept[1] + kept[2])
    guards.check()
