"""The weights of the network, and gradients, which have their form."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.nn.memory import zeros
from ddmlp.numerics import WEIGHTS, random_bits, uniform

Floats = NDArray[np.floating[Any]]


Indices = NDArray[np.intp]


class Shape(NamedTuple):
    """How many inputs m, hidden units n and outputs o a network has."""

    inputs: int
    hidden: int
    outputs: int

    @property
    def size(self) -> int:
        """Weights in all: m n + n o."""
        return (self.inputs + self.outputs) * self.hidden


class Weights:
    """W1 (m, n) and W2 (n, o), views of one flat buffer (m n + n o,). A gradient dE/dW is of this type too."""

    def __init__(self, shape: Shape, flat: Floats | None = None) -> None:
        """Weights over the buffer `flat`, or over a new one of float32 zeros."""
        self.shape = shape
        self.flat: Floats = zeros((shape.size,)) if flat is None else flat
        m, n, o = shape
        self.w1 = self.flat[: m * n].reshape(m, n)
        self.w2 = self.flat[m * n :].reshape(n, o)
        # Of a compact gradient (k,): row i of W1 is that of input live[i], those of all other inputs are zero, and what
        # stands behind is garbage. None: it is not compact.
        self.live: Indices | None = None

    @classmethod
    def draw(cls, shape: Shape, seed: int) -> "Weights":
        """Initial weights, a function of (shape, seed) alone: uniform in +-sqrt(6 / (fan in + fan out)), 4 times
        that for W1, whose units are logistic (Glorot and Bengio 2010, section 4.2.1, and its adaptation to the
        logistic function in the deep-learning tutorials of that group)."""
        weights = cls(shape)
        for part, (layer, gain) in enumerate([(weights.w1, 4.0), (weights.w2, 1.0)]):
            bound = gain * (6.0 / sum(layer.shape)) ** 0.5
            bits = random_bits(seed, WEIGHTS, layer.size, part=part)
            layer[...] = uniform(bits, -bound, bound).reshape(layer.shape)
        return weights

    def expand(self) -> None:
        """Make a compact gradient one that is not."""
        if self.live is not None:
            rows = self.w1[: len(self.live)].copy()
            self.w1[:] = 0
            self.w1[self.live] = rows
            self.live = None

    def sha256(self) -> str:
        """SHA-256 over the little-endian bytes of W1, then W2, row by row."""
        little = self.flat.astype(self.flat.dtype.newbyteorder("<"), copy=False)
        return hashlib.sha256(little.data).hexdigest()
