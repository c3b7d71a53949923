"""Stochastic gradient descent: dW = -alpha dE/dW, with E averaged over a global batch."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.config import TrainConfig
from ddmlp.nn.weights import Floats, Indices, Weights


class SGD:
    """The optimizer of a run. Its learning rate may fall; it keeps nothing from one step to the next.

    state: what an optimizer keeps, arrays by name. It lies in each checkpoint, and an optimizer goes on from it.

    >>> SGD(TrainConfig(lr=0.5, batch=10, lr_schedule="linear")).step_size(version=3, steps=4)
    0.0125
    """

    def __init__(self, config: TrainConfig, state: Mapping[str, NDArray[Any]] | None = None) -> None:
        self._config = config
        self.state = dict(state or {})

    def step_size(self, version: int, steps: int, staleness: int = 0) -> float:
        """alpha / B for the update of `version`, of `steps` in all, by a gradient of this staleness.

        If `staleness_lr` is set alpha is divided by the staleness, after Zhang, Gupta, Lian and Liu 2016,
        "Staleness-aware async-SGD for distributed deep learning", equation 5.
        """
        config = self._config
        rate = config.lr
        if config.lr_schedule == "linear":
            rate *= 1 - version / steps
        elif config.lr_schedule == "inverse":
            rate /= 1 + version / config.lr_half
        return (rate / max(1, staleness) if config.staleness_lr else rate) / config.batch

    def update(
        self, weights: Weights, gradient: Floats, step_size: float, out: Weights, live: Indices | None = None
    ) -> bool:
        """Make the next version of the weights in `out`; see the function `update`."""
        return update(weights, gradient, step_size, out, live)


def update(weights: Weights, gradient: Floats, rate: float, out: Weights, live: Indices | None = None) -> bool:
    """out = weights - rate * gradient, leaving garbage in `gradient`, the flat buffer of W1 and W2; or False, and
    nothing is changed, where this would not be finite. live: of a compact gradient (see `Weights`).

    `rate` is alpha / B: `gradient` is the sum over the rows of a global batch, so that each row moves the weights by
    alpha / B times its own gradient, also in the smaller last batch of an epoch. B = 1 is the update of the note.

    `out` may be `weights`. NumPy's warnings of what is not finite are the caller's to turn off.
    """
    m, n, _ = weights.shape
    size = 0 if live is None else len(live) * n
    parts = [gradient] if live is None else [gradient[:size], gradient[m * n :]]
    for moved in parts:
        np.multiply(moved, moved.dtype.type(rate), out=moved)
        # A step whose square is finite is shorter than 1e20, and no run has so many that 3e38 would be passed.
        if not math.isfinite(np.dot(moved, moved)):
            return False
    if live is None:
        np.subtract(weights.flat, gradient, out=out.flat)
        return True
    if out is not weights:
        out.flat[:] = weights.flat
    # What stands behind the live rows is garbage, and as long at least: there is room for what they are taken from.
    taken = gradient[size : 2 * size].reshape(-1, n)
    weights.w1.take(live, axis=0, out=taken, mode="clip")
    out.w1[live] = np.subtract(taken, parts[0].reshape(-1, n), out=taken)
    np.subtract(weights.w2.reshape(-1), parts[1], out=out.w2.reshape(-1))
    return True
