"""Stochastic gradient descent: dW = -alpha dE/dW, with E averaged over a global batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.config import TrainConfig
from ddmlp.nn.steps import descend_sum
from ddmlp.nn.weights import Floats, Weights


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

    @property
    def plain(self) -> bool:
        """Whether its update is that of this class, which `steps.train_steps` makes by itself."""
        return type(self).update is SGD.update

    def update(self, weights: Weights, left: Floats, right: Floats, step_size: float, out: Weights) -> None:
        """Make the next version of the weights in `out`, which may be `weights`: dW = -step_size (left + right).

        left, right: the two halves of a step's gradient, flat buffers as those of `Weights`; right may have no
        elements. step_size is alpha / B: the gradient is the sum over the rows of a global batch, so that each row
        moves the weights by alpha / B times its own gradient, also in the smaller last batch of an epoch. B = 1 is the
        update of the note.
        """
        descend_sum(weights.flat, left, right, np.float32(step_size), out.flat)
