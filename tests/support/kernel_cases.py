"""Test cases for the kernels: networks, weights and rows in guarded buffers, and the same steps by slow kernels."""

from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from ddmlp.nn.network import Network, Steps
from ddmlp.nn.weights import Shape, Weights
from tests.support import slow_kernels
from tests.support.guards import Guards

F = np.float32
KINDS = {"drawn": 0.3, "steep": 30.0, "denormal": 1e-41, "huge": 1e30, "zeros": 0.0}  # of weights


def draw_weights(shape, kind, draw):
    numbers = draw.normal(size=shape.inputs * shape.hidden + shape.hidden * shape.outputs)
    scales = draw.choice(list(KINDS.values()), numbers.size) if kind == "mixed" else KINDS[kind]
    w1, w2 = np.split((numbers * scales).astype(F), [shape.inputs * shape.hidden])  # zeros have both signs
    return Weights.join(w1.reshape(shape[:2]), w2.reshape(shape[1:]))


def draw_pixels(rows, inputs, density, draw):
    """Return random pixels; some rows are all 0, some all 255."""
    pixels = draw.integers(1, 256, (rows, inputs)) * (draw.random((rows, inputs)) < density)
    special = draw.random(rows)
    pixels[special < 0.1], pixels[special > 0.95] = 0, 255
    return pixels.astype(np.uint8)


@st.composite
def cases(draw):
    """Draw a network in guarded buffers, three versions of its weights, and the rows of some steps."""
    counts = st.sampled_from([1, 2, 127, 128, 129, 300])
    shape = Shape(
        draw(st.sampled_from([1, 2, 7, 8, 9, 100, 128, 129, 260]), label="inputs"),
        draw(st.sampled_from([1, 2, 63, 64, 65, 130]), label="hidden"),
        draw(st.integers(1, 20) | st.sampled_from([64, 65, 70, 256]), label="outputs"),
    )
    bounds = np.cumsum([0, *draw(st.lists(counts, min_size=1, max_size=3), label="rows")])
    size = draw(st.sampled_from([1, 2, 50, 128, 129, 300]), label="microbatch")
    size = max(size, 1 + np.diff(bounds).max() // 20)  # limits the time of the slow kernels
    bits = draw(st.sampled_from([0, 0, 0, 4, 7, 16]), label="bits")
    kind = draw(st.sampled_from([*KINDS, "mixed"]), label="weights")
    density = draw(st.sampled_from([0, 0.02, 0.2, 0.5, 1]), label="density")
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    weights = [draw_weights(shape, kind, generator) for _ in range(3)]
    pixels = draw_pixels(bounds[-1], shape.inputs, density, generator)
    labels = generator.integers(0, shape.outputs, bounds[-1], dtype=np.uint8)
    return build(shape, int(size), weights, pixels, labels, bounds, generator, bits)


def build(shape, size, weights, pixels, labels, bounds, draw, bits=0):
    guards = Guards()
    most = max(-(-int(rows) // size) for rows in np.diff(bounds))
    network = guarded(Network(shape, size, most, bits), guards)
    # Fill all of its buffers with values of other rows.
    earlier = min(300, size)
    network.gradient(
        draw_weights(shape, "drawn", draw), draw_pixels(earlier, shape.inputs, 1, draw),
        draw.integers(0, shape.outputs, earlier, dtype=np.uint8), Weights(shape),
    )  # fmt: skip
    return SimpleNamespace(
        shape=shape, size=size, bits=bits, network=network, guards=guards, bounds=bounds, count=len(bounds) - 1,
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
    """Make the steps from `first` to `last` in one call."""
    bounds = case.bounds[first : None if last is None else last + 1]
    rows = slice(bounds[0], bounds[-1])
    steps = Steps(
        case.pixels[rows], case.labels[rows], bounds - bounds[0], case.rates[first:last], case.slots[first:last]
    )
    return (network or case.network).train(steps, stack)


def node(case, weights, begin, end):
    """Return the gradient of these rows, a node of a step's reduction tree, and their statistics."""
    out = Weights(case.shape, case.guards.copy(np.zeros(case.shape.size, F)))
    return out, case.network.gradient(weights, case.pixels[begin:end], case.labels[begin:end], out)


def slow_steps(case, stack):
    """Make the steps by the slow kernels, up to the first that is rejected; return the weights and the gradients."""
    versions, found = [Weights(case.shape, flat.copy()) for flat in stack], []
    for step in range(case.count):
        read, source, target = case.slots[step]
        rows = slice(*case.bounds[step : step + 2])
        each = slow_kernels.gradient(
            versions[read].w1, versions[read].w2, case.pixels[rows], case.labels[rows], case.size, case.bits
        )
        count = rows.stop - rows.start
        made = slow_kernels.step(versions[source].w1, versions[source].w2, each, count, case.rates[step])
        if made is None:
            break
        found.append(each)
        versions[target] = Weights.join(*made)
    return np.array([version.flat for version in versions]), found


def same(one, other):
    """Whether two arrays have the same bits, where all NaNs are equal."""
    one, other = (
        np.where(np.isnan(side), F(np.nan), side).astype(F, order="C").view(np.uint32) for side in (one, other)
    )
    return np.array_equal(one, other)


def check_padding(case, *buffers):
    """Assert that the padding after hidden units and outputs is +0."""
    _, n, o = case.shape
    scratch, width = case.network._scratch, case.shape.width
    for buffer in (*buffers, case.stack, scratch.y1, scratch.d1, case.network._gradient, case.network._spare):
        assert not buffer.reshape(-1, width)[:, n:].view(np.uint32).any()
    assert not scratch.d2.reshape(len(scratch.predicted), -1)[:, o:].view(np.uint32).any()
    case.guards.check()


def plain(shape, size, bounds, density=0.5):
    """Return a case whose steps all read and write the first version of the weights."""
    draw = np.random.default_rng(1)
    weights = [draw_weights(shape, "drawn", draw) for _ in range(2)]
    pixels = draw_pixels(bounds[-1], shape.inputs, density, draw)
    labels = draw.integers(0, shape.outputs, bounds[-1], dtype=np.uint8)
    case = build(shape, size, weights, pixels, labels, np.array(bounds), draw)
    case.slots[...] = 0
    return case
