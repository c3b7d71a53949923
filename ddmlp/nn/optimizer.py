"""Stochastic gradient descent: dW = -alpha dE/dW, with E averaged over a global batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.config import TrainConfig
from ddmlp.nn.elementary import exp_minus, natural_logarithm
from ddmlp.nn.steps import descend_sum
from ddmlp.nn.weights import Floats, Weights


class SGD:
    """The optimizer of a run. Its learning rate may fall; it keeps nothing between steps.

    Parameters
    ----------
    config : TrainConfig
        The settings of the run: lr, lr_schedule, lr_half, lr_end, batch and staleness_lr.
    state : mapping of str to array, optional
        The arrays that an optimizer keeps between steps, by name; SGD itself has none. Each checkpoint has them, and
        the optimizer of a resumed run continues from them.

    Examples
    --------
    >>> SGD(TrainConfig(lr=0.5, batch=10, lr_schedule="linear")).step_size(version=3, steps=4)
    0.0125
    """

    def __init__(self, config: TrainConfig, state: Mapping[str, NDArray[Any]] | None = None) -> None:
        self._config = config
        self._fall = natural_logarithm(1 / config.lr_end)  # how much ln(alpha) falls, if it is exponential
        self.state = dict(state or {})

    def step_size(self, version: int, steps: int, staleness: int = 0) -> float:
        """alpha / B for one update.

        If `staleness_lr` is set, alpha is divided by the staleness, after Zhang, Gupta, Lian and Liu 2016,
        "Staleness-aware async-SGD for distributed deep learning", equation 5.

        Parameters
        ----------
        version : int
            The version that the update changes: the number of steps applied before.
        steps : int
            The number of steps of the run.
        staleness : int
            Versions between the weights that the gradient was computed with and `version`.
        """
        config = self._config
        rate = config.lr
        if config.lr_schedule == "linear":
            rate *= 1 - version / steps
        elif config.lr_schedule == "exponential":
            rate *= exp_minus(self._fall * (version / steps))
        elif config.lr_schedule == "inverse":
            rate /= 1 + version / config.lr_half
        return (rate / max(1, staleness) if config.staleness_lr else rate) / config.batch

    @property
    def plain(self) -> bool:
        """Whether `update` is that of this class, which `steps.train_steps` has built in."""
        return type(self).update is SGD.update

    def update(self, weights: Weights, left: Floats, right: Floats, step_size: float, out: Weights) -> None:
        """Compute the next version of the weights into `out`: dW = -step_size (left + right).

        The gradient is the sum over the rows of a global batch, so each row moves the weights by alpha / B times its
        own gradient, also in the smaller last batch of an epoch. B = 1 is the update of the note.

        Parameters
        ----------
        weights : Weights
            The version to change.
        left, right : (shape.size,) float32
            The two halves of the step's gradient, as flat buffers of `Weights`; right may be empty.
        step_size : float
            alpha / B.
        out : Weights
            Receives the next version; may be `weights` itself.
        """
        descend_sum(weights.flat, left, right, np.float32(step_size), out.flat)
