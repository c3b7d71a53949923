"""Stochastic gradient descent: dW = -alpha dE/dW, with E averaged over a global batch."""

import numpy as np

from ddmlp.network import Floats


def update(weights: Floats, gradient: Floats, rate: float, out: Floats) -> None:
    """out = weights - rate * gradient, all of one shape, leaving rate * gradient in `gradient`.

    `rate` is alpha / B: `gradient` is the sum over the rows of a global batch, so that each row moves the weights by
    alpha / B times its own gradient, also in the smaller last batch of an epoch. B = 1 is the update of the note.
    """
    np.multiply(gradient, gradient.dtype.type(rate), out=gradient)
    np.subtract(weights, gradient, out=out)
