"""Checks of the answers that are functions: each returns what is wrong with the function, "" if nothing is.

They call the function with known inputs, and compare what it returns with what ddmlp computes. They run in the process
of `child`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn import reference
from ddmlp.numerics import PROBE, permutation, random_bits, row_bits, uniform
from ddmlp.plan.reduction_tree import Node

Function = Callable[..., Any]
Array = NDArray[Any]


def gradients(function: Function) -> str:
    """dE/dW1 and dE/dW2."""
    for seed, (rows, m, n, o) in enumerate([(1, 3, 2, 2), (5, 7, 4, 3), (8, 9, 6, 10)]):
        w1, w2 = _numbers(seed, 0, m, n), _numbers(seed, 1, n, o)
        x, t = abs(_numbers(seed, 2, rows, m)), np.eye(o)[np.arange(rows) % o]
        found = function(w1.copy(), w2.copy(), x.copy(), t.copy())
        if not isinstance(found, tuple | list) or [np.shape(each) for each in found] != [w1.shape, w2.shape]:
            return f"expected two arrays of the shapes of W1 and W2, {w1.shape} and {w2.shape}"
        y2 = reference.forward(w1, w2, x)[1]
        d1, d2 = reference.gradients(w1, w2, x, t)
        if _near(found[0], d1) and _near(found[1], d2):
            continue
        if rows > 1 and (_near(found[0], d1 / rows) or _near(found[1], d2 / rows)):
            return "those are means: the gradient of a batch is the sum over its rows"
        if _near(found[0], -d1) or _near(found[1], -d2):
            return "the sign is wrong: dE/dz2 = y2 - t"
        if _near(found[0], x.T @ ((y2 - t) @ w2.T)):
            return "dE/dW1 lacks the slope of the logistic function: y1 (1 - y1)"
        if _near(found[0], d1, 1e-3) and _near(found[1], d2, 1e-3):
            return "those are right to few digits: compute them in float64, and by formulas"
        which = "dE/dW2" if _near(found[0], d1) else "dE/dW1"
        return f"{which} is wrong for a {m}-{n}-{o} network and a batch of {rows}: compare it with the slope of E"
    return ""


def reduce(function: Function) -> str:
    """The sum of a step along the reduction tree."""
    for count in range(1, 10):
        parts = [_numbers(count, part, 1, 50)[0].astype(np.float32) for part in range(count)]
        right, sums = _tree(parts, Node(0, count)), set[bytes]()
        for order in _orders(count):
            found = function(count, iter([(int(part), parts[part].copy()) for part in order]))
            if not isinstance(found, np.ndarray) or (found.dtype, found.shape) != (right.dtype, right.shape):
                return f"expected an array, float32 (50,), for {count} parts"
            sums.add(found.tobytes())
        if sums == {right.tobytes()}:
            continue
        if len(sums) > 1:
            return f"the bits of the sum of {count} parts depend on the order of arrival: add them in a fixed order"
        if not _near(found, right, 1e-4):
            return f"the sum of {count} parts is wrong by more than rounding: add each part exactly once"
        left = Node(0, count).children()[0].hi if count > 1 else 1
        return (f"no order of arrival changes the sum, but its order is not that of the tree: of {count} parts, add "
                f"the first {left} to a sum, the others to another, in the same way, then both")  # fmt: skip
    return ""


def accept(function: Function) -> str:
    """The units whose answers count."""
    cases: list[tuple[list[tuple[int, bytes]], list[int] | None]] = [
        ([], []),
        ([(0, b"a"), (1, b"b")], [0, 1]),
        ([(1, b"b"), (0, b"a"), (1, b"b"), (2, b"b"), (0, b"a")], [1, 0, 2]),
        ([(3, b"c"), (4, b"d"), (3, b"x")], None),
    ]
    for answers, right in cases:
        try:
            found = function(list(answers))
            if not isinstance(found, Iterable):
                return f"expected a list of units, found {type(found).__name__}"
            found = list(found)
        except ValueError:
            if right is not None:
                return f"it raised ValueError for {answers}, in which no second answer differs from the first"
            continue
        if right is None:
            return f"two answers of unit 3 differ in {answers}: expected ValueError, because one machine is wrong"
        if found == right:
            continue
        if len(found) > len(right):
            return f"a unit counts twice in {answers}: the second answer must not be added"
        return f"found {found} for {answers}, expected the units in the order of their first answers"
    return ""


def shift(function: Function) -> str:
    """A transform that moves images by a pixel."""
    pixels = (uniform(random_bits(1, PROBE, 12 * 20), 0, 256)).astype(np.uint8).reshape(12, 4, 5)
    numbers = np.arange(100, 112)

    def call(rows: Array, seed: int, epoch: int) -> Array:
        given = pixels[rows - 100]
        given.flags.writeable = False
        return np.asarray(function(given, rows, seed, epoch)).copy()

    for seed, epoch in [(0, 0), (0, 1), (5, 3)]:
        found = call(numbers, seed, epoch)
        if (found.dtype, found.shape) != (pixels.dtype, pixels.shape):
            return f"expected the same type and shape, uint8 {pixels.shape}, found {found.dtype} {found.shape}"
        if (found != call(numbers, seed, epoch)).any():
            return "it makes other pixels if it is called again: draw only by row_bits, of rows, seed and epoch"
        reversed_, some = call(numbers[::-1], seed, epoch), call(numbers[:5], seed, epoch)
        if (found[::-1] != reversed_).any() or (found[:5] != some).any():
            return "what it makes of a row depends on the other rows of the call, and so on how many workers there are"
        moved = (row_bits(numbers, seed, epoch) % 2).astype(bool)
        right = pixels.copy()
        right[moved, :, 1:], right[moved, :, 0] = pixels[moved, :, :-1], 0
        if (found == right).all():
            continue
        if (found == np.where(moved[:, None, None], np.roll(pixels, 1, axis=2), pixels)).all():
            return "the last column comes in at the left: expected zeros there"
        wrong = int(numbers[(found != right).any(axis=(1, 2))][0])
        drawn = "row_bits(rows, seed, epoch) % 2 is 1"
        return f"row {wrong} of epoch {epoch}, seed {seed} is wrong: {drawn} if it moves right"
    return ""


CHECKS = {each.__name__: each for each in (gradients, reduce, accept, shift)}


def _numbers(seed: int, part: int, rows: int, columns: int) -> Array:
    return uniform(random_bits(seed, PROBE, rows * columns, part=part), -1, 1).reshape(rows, columns)


def _orders(count: int) -> Iterator[Array]:
    yield np.arange(count)
    yield np.arange(count)[::-1]
    for seed in range(4):
        yield permutation(random_bits(seed, PROBE, count))


def _tree(parts: list[Array], node: Node) -> Array:
    """The sum of a node of the reduction tree."""
    if node.leaf:
        return parts[node.lo]
    left, right = node.children()
    return _tree(parts, left) + _tree(parts, right)


def _near(found: Any, right: Any, tolerance: float = 1e-9) -> bool:
    return bool(np.allclose(found, right, rtol=tolerance, atol=tolerance))
