"""The kernels that Python calls: training steps, many in one call; classification; and sums of gradients.

A buffer of weights, or of a gradient, is flat float32: W1 (m, width), then the transpose of W2 (o, width), as in
`kernels`.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.compiled import inlined, kernel, record
from ddmlp.nn.kernels import ZERO, Scratch, Sizes, forward, microbatch, output_layer, pixel_gradient
from ddmlp.nn.lanes import fma, load, store
from ddmlp.nn.rounding import round_rows
from ddmlp.nn.sparse import ROWS, count_blocks
from ddmlp.nn.weights import LANES

# An update by less than this leaves finite weights finite: no run has enough updates to add up to 3e38.
MAX_MOVE = 1e19
MAX_GRADIENT = 1e38  # a sum below this is never rounded to infinity


class Stats(NamedTuple):
    """Statistics of steps.

    Parameters
    ----------
    errors : (steps,) float64
        E, summed over the rows of each step.
    mistakes : (steps,) intp
        The number of misclassified rows of each step.
    steepest : (steps,) float32
        The largest |d1| of each step; infinite if any d1 is not finite.
    tree : (levels + 1,) float64
        Scratch: E of the open nodes of the reduction tree.
    """

    errors: NDArray[np.float64]
    mistakes: NDArray[np.intp]
    steepest: NDArray[np.float32]
    tree: NDArray[np.float64]


INTS, BYTES, FLOATS, FLOATS_2 = "intp[::1]", "uint8[::1]", "float32[::1]", "float32[:, ::1]"
SIZES = record(Sizes, *["intp"] * len(Sizes._fields))
SCRATCH = record(Scratch, INTS, "uint32[::1]", INTS, "uint32[::1]", INTS, *[FLOATS] * 4, INTS)
STATS = record(Stats, "float64[::1]", INTS, FLOATS, "float64[::1]")


def is_finite(rate: Any, rows: int, steepest: float) -> Any:
    """Whether the gradient of a step is finite and moves no weight by MAX_MOVE or more.

    Its terms are d1 times an input and y2 - t times y1; inputs, y2 - t and y1 are at most 1. rate: alpha / B; rows: of
    the step; steepest: the largest |d1|.
    """
    most = rows * max(np.float64(steepest), 1.0)
    return most < MAX_GRADIENT and abs(np.float64(rate)) * most < MAX_MOVE


_is_finite = inlined(is_finite)


@inlined
def add(left: Any, right: Any) -> None:
    """Add `right` to `left` in place: flat buffers whose length is a multiple of LANES."""
    for place in range(0, len(left), LANES):
        store(left, place, load(left, place) + load(right, place))


@inlined
def descend(source: Any, left: Any, right: Any, rate: float, target: Any) -> None:
    """Compute target = source - rate (left + right). right may be empty, and target may be source."""
    for place in range(0, len(target), LANES):
        gradient = load(left, place)
        if len(right):
            gradient = gradient + load(right, place)
        store(target, place, fma(-rate, gradient, load(source, place)))


@kernel(FLOATS, FLOATS)
def add_gradient(left: Any, right: Any) -> None:
    """Add `right` to `left` in place."""
    add(left, right)


@kernel(FLOATS, FLOATS, FLOATS, "float32", FLOATS)
def descend_sum(source: Any, left: Any, right: Any, rate: Any, target: Any) -> None:
    """Compute target = source - rate (left + right) in one pass. right may be empty, and target may be source."""
    descend(source, left, right, rate, target)


@kernel(
    SIZES,
    INTS,
    BYTES,
    INTS,
    "intp",
    "intp",
    FLOATS,
    FLOATS_2,
    "intp[:, ::1]",
    "boolean",
    SCRATCH,
    FLOATS,
    FLOATS_2,
    STATS,
)
def train_steps(
    sizes: Any,
    addresses: Any,
    labels: Any,
    bounds: Any,
    size: int,
    bits: int,
    rates: Any,
    weights: Any,
    slots: Any,
    update: bool,
    scratch: Any,
    gradient: Any,
    spare: Any,
    stats: Any,
) -> int:
    """Make steps, one after the other.

    Parameters
    ----------
    sizes : Sizes
        The sizes of the network.
    addresses : (rows,) intp
        The address of each row's pixels, for all steps.
    labels : (rows,) uint8
        The class of each row.
    bounds : (steps + 1,) intp
        The first row of each step, and at the end the number of rows.
    size : int
        Rows of a microbatch.
    bits : int
        Bits that the gradient of each microbatch is rounded to; 0: it is not rounded.
    rates : (steps,) float32
        alpha / B of each step.
    weights : (versions, length) float32
        The versions of the weights.
    slots : (steps, 3) intp
        The versions that each step reads, changes and writes, as indices into `weights`.
    update : bool
        Whether to update the weights. If not, the gradient of the last step is left in `gradient`.
    scratch : Scratch
        Buffers for a microbatch.
    gradient : (length,) float32
        The leftmost open node of the reduction tree.
    spare : (levels, length) float32
        The other open nodes of the tree.
    stats : Stats
        Receives the statistics of each step.

    Returns
    -------
    int
        The number of steps made: fewer than asked for if the next one would leave weights that are not finite.
    """
    inner = sizes.m * sizes.width
    for step in range(len(bounds) - 1):
        first, rows, rate = bounds[step], bounds[step + 1] - bounds[step], rates[step]
        read, source, target = weights[slots[step, 0]], weights[slots[step, 1]], weights[slots[step, 2]]
        count, depth = count_blocks(rows, size), 0
        alone = update and count == 1 and bits == 0
        stats.mistakes[step], stats.steepest[step] = 0, ZERO
        for index in range(count):
            begin, some = index * size, min(size, rows - index * size)
            node = spare[depth - 1] if depth else gradient
            error, mistakes, steepest = microbatch(
                sizes, read[:inner], read[inner:], addresses, labels, first + begin, some, scratch, node[inner:]
            )
            stats.tree[depth] = error
            stats.mistakes[step] += mistakes
            stats.steepest[step] = max(steepest, stats.steepest[step])
            if not alone:
                pixel_gradient(sizes, scratch, some, False, rate, node[:inner], node[:inner], True)
            if bits:
                round_rows(node, sizes.width, bits)
            depth += 1
            for _ in range(sums_due(index + 1, count, depth, update)):
                depth -= 1
                add(spare[depth - 2] if depth > 1 else gradient, spare[depth - 1])
                stats.tree[depth - 1] += stats.tree[depth]
        stats.errors[step] = stats.tree[0] if depth == 1 else stats.tree[0] + stats.tree[1]
        if not update:
            continue
        if not _is_finite(rate, rows, stats.steepest[step]):
            return step
        if alone:
            moved = slots[step, 1] != slots[step, 2]
            pixel_gradient(sizes, scratch, rows, True, rate, source[:inner], target[:inner], moved)
            descend(source[inner:], gradient[inner:], gradient[:0], rate, target[inner:])
        else:
            descend(source, gradient, spare[0] if count > 1 else gradient[:0], rate, target)
    return len(bounds) - 1


@inlined
def sums_due(done: int, count: int, depth: int, update: bool) -> int:
    """How many additions of the reduction tree are due once `done` of `count` microbatches are computed.

    depth: the number of open nodes. If the step is applied, `update`, `descend` does its last addition.
    """
    if done == count:
        return max(0, depth - 2) if update else depth - 1
    due = 0
    while done % 2 == 0:
        done //= 2
        due += 1
    return due


@kernel(SIZES, INTS, BYTES, FLOATS, SCRATCH, FLOATS, INTS)
def recognise(
    sizes: Any, addresses: Any, labels: Any, weights: Any, scratch: Any, probabilities: Any, predicted: Any
) -> float:
    """Compute the probabilities y2 (rows, o), flat, and the most probable class (rows,) of the rows at these addresses.

    Returns E of the given labels, summed over the rows.
    """
    inner, error = sizes.m * sizes.width, 0.0
    w1, w2 = weights[:inner], weights[inner:]
    for begin in range(0, len(labels), ROWS):
        rows = min(ROWS, len(labels) - begin)
        forward(sizes, w1, w2, addresses, begin, 0, rows, scratch)
        for row in range(rows):
            error += output_layer(sizes, scratch, row, np.intp(labels[begin + row]))
            predicted[begin + row] = scratch.predicted[row]
            for k in range(sizes.o):
                probabilities[(begin + row) * sizes.o + k] = scratch.d2[row * sizes.padded + k]
    return error
