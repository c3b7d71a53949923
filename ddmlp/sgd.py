"""Stochastic gradient descent: dW = -alpha dE/dW, with E averaged over a global batch."""

import math

import numpy as np

from ddmlp.network import Floats, Indices, Weights


def update(weights: Weights, gradient: Floats, rate: float, out: Weights, live: Indices | None = None) -> bool:
    """out = weights - rate * gradient, leaving garbage in `gradient`, the flat buffer of W1 and W2; or False, and
    nothing is changed, where this would not be finite.

    `rate` is alpha / B: `gradient` is the sum over the rows of a global batch, so that each row moves the weights by
    alpha / B times its own gradient, also in the smaller last batch of an epoch. B = 1 is the update of the note.

    `out` may be `weights`; if it is, only the inputs `live` need be looked at, where all others' rows of the gradient
    are zero. All has the same bits either way.
    """
    moved, shape = gradient, weights.shape
    if live is not None:
        # The buffer as rows of n: those of W1, then o more that hold W2.
        rows = np.append(live, np.arange(shape.inputs, shape.inputs + shape.outputs))
        moved = gradient.reshape(-1, shape.hidden)[rows].reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(moved, moved.dtype.type(rate), out=moved)
        # A step whose square is finite is shorter than 1e20, and no run has so many that 3e38 would be passed.
        if not math.isfinite(np.dot(moved, moved)):
            return False
    if live is None:
        np.subtract(weights.flat, moved, out=out.flat)
    else:
        assert out is weights, "what is not live would not be copied"
        out.flat.reshape(-1, shape.hidden)[rows] -= moved.reshape(-1, shape.hidden)
    return True
