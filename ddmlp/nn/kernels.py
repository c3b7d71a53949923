"""The note's formulas for the rows of a microbatch, as compiled loops. `reference` has them in plain NumPy.

    z1 = x W1      y1 = 1 / (1 + e^-z1)                   (1)    hidden_layer
    z2 = y1 W2     y2 = e^z2 / sum e^z2                   (2)    output_sums, output_layer
    E  = -sum t ln y2                                            output_layer
    dE/dW2 = y1^T (y2 - t)                                       output_gradient
    dE/dy1 = (y2 - t) W2^T                                (3)    hidden_delta
    dE/dW1 = x^T (dE/dy1 * y1 * (1 - y1))                        pixel_gradient

**Each sum has one order.** A sum over pixels, rows or classes starts at +0 and runs in ascending order, with one fused
multiply-add per term; a pixel that is zero has no term. Vectors run along the hidden units, so each such sum stays in
its lane. Only z2 is a sum over hidden units: it has 64 partial sums, of the units j, j + 64, j + 128, ..., which
`lanes.total` adds. The sum of e^z2 over the classes is computed the same way. So the bits depend neither on the
processor nor on the sizes of blocks.

Rows of m pixels, uint8, are given by their addresses. Arrays are flat. W1 (m, width), the transpose of W2 (o, width),
y1 and d1 (rows, width) have room for `width` hidden units, which is n rounded up to whole vectors; the padding is
zero. In z2, y2 and d2 (rows, padded), o is rounded up in the same way.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.compiled import inlined
from ddmlp.nn.elementary import ONE, exp, ln, logistic
from ddmlp.nn.lanes import fma, item, largest, limit, load, steeper, store, total, zeros
from ddmlp.nn.sparse import ROWS, add_products, choose_block, count_blocks, list_live, list_pixels, list_rows
from ddmlp.nn.weights import LANES

ZERO, INFINITE = np.float32(0), np.float32(np.inf)
NEAR = 6144  # float32 numbers that fit into the level 1 cache together with the other data
MAX_Z2 = np.float32(np.finfo(np.float32).max / 4)  # limit of |z2|, so that the difference of any two stays finite


class Sizes(NamedTuple):
    """The numbers of inputs m, hidden units n and outputs o; width and padded: n and o, rounded up to whole vectors."""

    m: int
    n: int
    o: int
    width: int
    padded: int


class Scratch(NamedTuple):
    """Buffers for a microbatch. `sparse` describes the lists, and this module's docstring the other arrays."""

    row_starts: NDArray[np.intp]
    row_entries: NDArray[np.uint32]
    pixel_starts: NDArray[np.intp]
    pixel_entries: NDArray[np.uint32]
    live: NDArray[np.intp]
    partial: NDArray[np.float32]  # (m, LANES): dE/dW1, summed over the blocks of rows so far
    y1: NDArray[np.float32]
    d1: NDArray[np.float32]
    d2: NDArray[np.float32]  # z2, then y2, then y2 - t
    predicted: NDArray[np.intp]  # the most probable class of each row; the first one of equals


@inlined
def forward(sizes: Any, w1: Any, w2: Any, addresses: Any, first: int, at: int, rows: int, scratch: Any) -> int:
    """Compute y1 and z2 of the rows first..first + rows - 1, at most ROWS, into the buffers' rows from `at` on.

    Returns the number of pixels per block that the rows were listed with.
    """
    size = choose_block(item(addresses, first), sizes.m)
    list_rows(addresses, first, rows, sizes.m, size, scratch.row_starts, scratch.row_entries)
    for column in range(0, sizes.width, LANES):
        hidden_layer(sizes, w1, scratch, at, rows, column, count_blocks(sizes.m, size))
    for row in range(at, at + rows):
        for unit in range(sizes.n, sizes.width):
            scratch.y1[row * sizes.width + unit] = ZERO
        output_sums(sizes, w2, scratch, row)
    return size


@inlined
def hidden_layer(sizes: Any, w1: Any, scratch: Any, at: int, rows: int, column: int, blocks: int) -> None:
    """Compute y1 of the listed rows for one vector of hidden units, from `column` on: equation (1).

    blocks: the number of blocks of pixels.
    """
    lists, width = (scratch.row_starts, scratch.row_entries), sizes.width
    for block in range(blocks):
        for row in range(rows):
            place = (at + row) * width + column
            z1 = load(scratch.y1, place) if block else zeros()
            z1 = add_products(lists, row * blocks + block, w1, width, column, z1)
            store(scratch.y1, place, z1 if block < blocks - 1 else logistic(z1))


@inlined
def output_sums(sizes: Any, w2: Any, scratch: Any, row: int) -> None:
    """Compute z2 = y1 W2 of a row."""
    width = sizes.width
    for k in range(sizes.o):
        z2 = zeros()
        for unit in range(0, width, LANES):
            z2 = fma(load(scratch.y1, row * width + unit), load(w2, k * width + unit), z2)
        scratch.d2[row * sizes.padded + k] = total(z2)


@inlined
def output_layer(sizes: Any, scratch: Any, row: int, label: Any) -> float:
    """Replace the z2 of a row by its y2: equation (2). Returns E = -ln y2(label).

    E is computed as ln sum e^z2 - z2(label): so it has the full z2(label), even if that is so far below the highest z2
    that `exp` limits the difference.
    """
    d2, begin, end = scratch.d2, row * sizes.padded, (row + 1) * sizes.padded
    for place in range(begin, end, LANES):
        store(d2, place, limit(load(d2, place), MAX_Z2))
    best = 0
    for k in range(1, sizes.o):
        if d2[begin + k] > d2[begin + best]:
            best = k
    scratch.predicted[row] = best
    highest = d2[begin + best]  # subtracting it leaves no z2 above 0, and does not change the quotient
    chosen = d2[begin + label] - highest
    for place in range(begin, end, LANES):
        store(d2, place, exp(load(d2, place) - highest))
    for place in range(begin + sizes.o, end):
        d2[place] = ZERO
    sums = zeros()
    for place in range(begin, end, LANES):
        sums = sums + load(d2, place)
    whole = total(sums)
    for place in range(begin, end, LANES):
        store(d2, place, load(d2, place) / whole)
    return ln(np.float64(whole)) - np.float64(chosen)


@inlined
def output_gradient(sizes: Any, scratch: Any, begin: int, rows: int, column: int, g2: Any) -> None:
    """Continue the sum dE/dW2 = y1^T (y2 - t) with the rows from `begin` on, for one vector of hidden units."""
    width, padded = sizes.width, sizes.padded
    for k in range(0, sizes.o, 2):  # two classes at once; if there is no second one, its d2 is 0
        place, two = k * width + column, k + 1 < sizes.o
        even = load(g2, place) if begin else zeros()
        odd = load(g2, place + width) if begin and two else zeros()
        for row in range(begin, begin + rows):
            y1 = load(scratch.y1, row * width + column)
            even = fma(item(scratch.d2, row * padded + k), y1, even)
            odd = fma(item(scratch.d2, row * padded + k + 1), y1, odd)
        store(g2, place, even)
        if two:
            store(g2, place + width, odd)


@inlined
def hidden_delta(sizes: Any, w2: Any, scratch: Any, begin: int, rows: int, column: int, best: Any) -> Any:
    """Compute d1 = (y2 - t) W2^T * y1 * (1 - y1) for one vector of hidden units, from `column` on.

    This is equation (3) times the slope of the logistic function. Returns the largest |d1| of each lane so far; best:
    the largest before this call.
    """
    width = sizes.width
    for row in range(begin, begin + rows):
        d1 = zeros()
        for k in range(sizes.o):
            d1 = fma(item(scratch.d2, row * sizes.padded + k), load(w2, k * width + column), d1)
        y1 = load(scratch.y1, row * width + column)
        d1 = d1 * y1 * (ONE - y1)
        best = steeper(d1, best)
        store(scratch.d1, row * width + column, d1)
    return best


@inlined
def microbatch(
    sizes: Any, w1: Any, w2: Any, addresses: Any, labels: Any, first: int, rows: int, scratch: Any, g2: Any
) -> Any:
    """Compute a microbatch, except for dE/dW1; dE/dW2 goes into g2 (o, width).

    The lists of pixels and d1 stay in `scratch`, for `pixel_gradient`. Returns E summed over the rows, the number of
    misclassified rows, and the largest |d1|, which is infinite if any d1 is not finite.
    """
    error, mistakes, best = 0.0, 0, zeros()
    scratch.pixel_starts[0] = 0
    for begin in range(0, rows, ROWS):
        count = min(ROWS, rows - begin)
        block = forward(sizes, w1, w2, addresses, first + begin, begin, count, scratch)
        by_row = scratch.row_starts, scratch.row_entries
        list_pixels(by_row, begin, count, sizes.m, block, scratch.pixel_starts, scratch.pixel_entries)
        for row in range(begin, begin + count):
            label = np.intp(labels[first + row])
            error += output_layer(sizes, scratch, row, label)
            mistakes += scratch.predicted[row] != label
            scratch.d2[row * sizes.padded + label] -= ONE  # y2 - t
        for column in range(0, sizes.width, LANES):
            output_gradient(sizes, scratch, begin, count, column, g2)
            best = hidden_delta(sizes, w2, scratch, begin, count, column, best)
    steepest = largest(best)
    return error, mistakes, steepest if steepest < INFINITE else INFINITE


@inlined
def pixel_gradient(
    sizes: Any, scratch: Any, rows: int, update: bool, rate: float, source: Any, target: Any, moved: bool
) -> None:
    """Compute dE/dW1 = x^T d1 of a microbatch into target (m, width).

    If `update` is true, target gets the new weights, source - rate dE/dW1, and the gradient itself is not stored.
    moved: whether target is a different buffer than source.
    """
    lists, m, width = (scratch.pixel_starts, scratch.pixel_entries), sizes.m, sizes.width
    blocks = count_blocks(rows, ROWS)
    count = list_live(scratch.pixel_starts, m, scratch.live)
    if blocks > 1:  # nearly every pixel has an entry in some block
        count = m
        for pixel in range(m):
            scratch.live[pixel] = pixel
    # The rows of d1 are read again for each pixel, so they should stay in the level 1 cache: whole rows if they are
    # few, or one vector of each.
    span = width if blocks == 1 and rows * width <= NEAR else LANES  # partial has room for LANES
    for begin in range(0, width, span):
        for block in range(blocks):
            for index in range(count):
                pixel = item(scratch.live, index)
                for column in range(begin, begin + span, LANES):
                    sums = load(scratch.partial, pixel * LANES) if block else zeros()
                    sums = add_products(lists, block * m + pixel, scratch.d1, width, column, sums)
                    if block < blocks - 1:
                        store(scratch.partial, pixel * LANES, sums)
                        continue
                    # Turn -0 into +0. Then the omitted terms, +0 or -0 of pixels that are zero, would change nothing.
                    sums = sums + ZERO
                    place = pixel * width + column
                    if update:
                        sums = fma(-rate, sums, load(source, place))
                    store(target, place, sums)
    for index in range(count, m if moved else 0):
        for place in range(scratch.live[index] * width, (scratch.live[index] + 1) * width, LANES):
            store(target, place, load(source, place) if update else zeros())
