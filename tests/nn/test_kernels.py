"""The kernels bit for bit: against the slow ones, and however the rows are given to them."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from ddmlp.data.idx import read_idx
from ddmlp.nn.network import Network, Steps
from ddmlp.nn.sparse import INPUTS
from ddmlp.nn.steps import add_gradient, descend_sum
from ddmlp.nn.weights import Shape, Weights
from tests.support import slow_kernels
from tests.support.guards import Guards

F = np.float32
NOTHING = np.zeros(0, F)
KINDS = {"drawn": 0.3, "steep": 30.0, "denormal": 1e-41, "huge": 1e30, "zeros": 0.0}  # of weights


def draw_weights(shape, kind, draw):
    numbers = draw.normal(size=shape.inputs * shape.hidden + shape.hidden * shape.outputs)
    scales = draw.choice(list(KINDS.values()), numbers.size) if kind == "mixed" else KINDS[kind]
    w1, w2 = np.split((numbers * scales).astype(F), [shape.inputs * shape.hidden])  # zeros have both signs
    return Weights.join(w1.reshape(shape[:2]), w2.reshape(shape[1:]))


def draw_pixels(rows, inputs, density, draw):
    """Some rows are all zero, some all 255."""
    pixels = draw.integers(1, 256, (rows, inputs)) * (draw.random((rows, inputs)) < density)
    special = draw.random(rows)
    pixels[special < 0.1], pixels[special > 0.95] = 0, 255
    return pixels.astype(np.uint8)


@st.composite
def cases(draw):
    """A network in guarded buffers, three versions of its weights, and the rows of some steps."""
    counts = st.sampled_from([1, 2, 127, 128, 129, 300])
    shape = Shape(
        draw(st.sampled_from([1, 2, 7, 8, 9, 100, 128, 129, 260]), label="inputs"),
        draw(st.sampled_from([1, 2, 63, 64, 65, 130]), label="hidden"),
        draw(st.integers(1, 20) | st.sampled_from([64, 65, 70, 256]), label="outputs"),
    )
    bounds = np.cumsum([0, *draw(st.lists(counts, min_size=1, max_size=3), label="rows")])
    size = draw(st.sampled_from([1, 2, 50, 128, 129, 300]), label="microbatch")
    size = max(size, 1 + np.diff(bounds).max() // 20)  # or the slow kernels take long
    kind = draw(st.sampled_from([*KINDS, "mixed"]), label="weights")
    density = draw(st.sampled_from([0, 0.02, 0.2, 0.5, 1]), label="density")
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    weights = [draw_weights(shape, kind, generator) for _ in range(3)]
    pixels = draw_pixels(bounds[-1], shape.inputs, density, generator)
    labels = generator.integers(0, shape.outputs, bounds[-1], dtype=np.uint8)
    return build(shape, int(size), weights, pixels, labels, bounds, generator)


def build(shape, size, weights, pixels, labels, bounds, draw):
    guards = Guards()
    network = guarded(Network(shape, size, max(-(-int(rows) // size) for rows in np.diff(bounds))), guards)
    # Earlier rows leave something in all of its buffers.
    earlier = min(300, size)
    network.gradient(
        draw_weights(shape, "drawn", draw), draw_pixels(earlier, shape.inputs, 1, draw),
        draw.integers(0, shape.outputs, earlier, dtype=np.uint8), Weights(shape),
    )  # fmt: skip
    return SimpleNamespace(
        shape=shape, size=size, network=network, guards=guards, bounds=bounds, count=len(bounds) - 1,
        pixels=guards.copy(pixels), labels=guards.copy(labels),
        stack=guards.copy(np.array([version.flat for version in weights])),
        slots=draw.integers(0, 3, (len(bounds) - 1, 3)), rates=(1 / np.diff(bounds)).astype(F),
    )  # fmt: skip


def guarded(network, guards):
    network._scratch = type(network._scratch)(*map(guards.copy, network._scratch))
    network._spare, network._gradient = guards.copy(network._spare), guards.copy(network._gradient)
    network._tree = guards.copy(network._tree)
    return network


def train(case, stack, first=0, last=None, network=None):
    """Make some of the steps in one call."""
    bounds = case.bounds[first : None if last is None else last + 1]
    rows = slice(bounds[0], bounds[-1])
    steps = Steps(
        case.pixels[rows], case.labels[rows], bounds - bounds[0], case.rates[first:last], case.slots[first:last]
    )
    return (network or case.network).train(steps, stack)


def node(case, weights, begin, end):
    """A node of a step's reduction tree: the gradient of these rows and what is counted of them."""
    out = Weights(case.shape, case.guards.copy(np.zeros(case.shape.size, F)))
    return out, case.network.gradient(weights, case.pixels[begin:end], case.labels[begin:end], out)


def slow_steps(case, stack):
    """The same steps by the slow kernels: what is found of each, up to the first that is refused."""
    versions, found = [Weights(case.shape, flat.copy()) for flat in stack], []
    for step in range(case.count):
        read, source, target = case.slots[step]
        rows = slice(*case.bounds[step : step + 2])
        each = slow_kernels.gradient(
            versions[read].w1, versions[read].w2, case.pixels[rows], case.labels[rows], case.size
        )
        count = rows.stop - rows.start
        made = slow_kernels.step(versions[source].w1, versions[source].w2, each, count, case.rates[step])
        if made is None:
            break
        found.append(each)
        versions[target] = Weights.join(*made)
    return np.array([version.flat for version in versions]), found


def same(one, other):
    """Whether two arrays have the same bits. Each NaN is as good as another."""
    one, other = (
        np.where(np.isnan(side), F(np.nan), side).astype(F, order="C").view(np.uint32) for side in (one, other)
    )
    return np.array_equal(one, other)


def check_padding(case, *buffers):
    """Behind the hidden units, and behind the outputs, is +0."""
    _, n, o = case.shape
    scratch, width = case.network._scratch, case.shape.width
    for buffer in (*buffers, case.stack, scratch.y1, scratch.d1, case.network._gradient, case.network._spare):
        assert not buffer.reshape(-1, width)[:, n:].view(np.uint32).any()
    assert not scratch.d2.reshape(len(scratch.predicted), -1)[:, o:].view(np.uint32).any()
    case.guards.check()


@given(cases())
def test_gradient(case):
    weights, rows = Weights(case.shape, case.stack[0]), case.bounds[1]
    before = case.stack.tobytes()
    out, (error, mistakes, steepest) = node(case, weights, 0, rows)
    expected = slow_kernels.gradient(weights.w1, weights.w2, case.pixels[:rows], case.labels[:rows], case.size)
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
    """In one call, also by weights that are not the newest, and into others."""
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
    """Steps in one call are the steps one by one, by a network with other buffers, too."""
    _, done = train(case, stack := case.stack.copy())
    other = Network(case.shape, case.size, 300)
    for network in (case.network, other):
        one_by_one = case.stack.copy()
        made = [train(case, one_by_one, step, step + 1, network)[1] for step in range(min(done + 1, case.count))]
        assert sum(made) == done
        assert one_by_one.tobytes() == stack.tobytes()


@given(cases())
def test_gradient_and_update(case):
    """Apart, they are the step."""
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
    """Nodes that are computed one by one, and added by `add_gradient`, are those of the step."""
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


def plain(shape, size, bounds, density=0.5):
    """Steps that change the first version of drawn weights."""
    draw = np.random.default_rng(1)
    weights = [draw_weights(shape, "drawn", draw) for _ in range(2)]
    pixels = draw_pixels(bounds[-1], shape.inputs, density, draw)
    labels = draw.integers(0, shape.outputs, bounds[-1], dtype=np.uint8)
    case = build(shape, size, weights, pixels, labels, np.array(bounds), draw)
    case.slots[...] = 0
    return case


@pytest.mark.parametrize("place", [(0, 1), (1, 1)], ids=["in place", "elsewhere"])
@pytest.mark.parametrize("size", [4, 2], ids=["one microbatch", "two"])
@pytest.mark.parametrize("wrong", ["rate nan", "rate inf", "rate", "w1 nan", "w2 nan", "w2 inf", "w2 -inf", "w2"])
def test_refused(wrong, size, place):
    """The second of three steps: it and the third change nothing."""
    case = plain(Shape(5, 3, 4), size, [0, 4, 8, 12])
    case.pixels[4:8] |= 1
    case.slots[1:] = 1, 1, place[0]
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
    """Its terms do not, and the rate is so small that the update would seem to be."""
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
