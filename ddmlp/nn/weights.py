"""The weights of the network, and gradients, which have their form."""

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.numerics import WEIGHTS, random_bits, uniform

Floats = NDArray[np.floating[Any]]

LANES = 64  # hidden units of a vector; not in `lanes`, which loads the compiler
CACHE_LINE = 64  # bytes; a vector that lies across two lines is loaded at half the speed


class Shape(NamedTuple):
    """How many inputs m, hidden units n and outputs o a network has."""

    inputs: int
    hidden: int
    outputs: int

    @property
    def width(self) -> int:
        """Hidden units that a row of the buffers has room for: whole vectors."""
        return -(-self.hidden // LANES) * LANES

    @property
    def size(self) -> int:
        """Numbers in the buffer of a version of the weights, or of a gradient."""
        return (self.inputs + self.outputs) * self.width


class Weights:
    """W1 (m, n) and W2 (n, o), float32, as views of one flat buffer (shape.size,). A gradient dE/dW is of this type
    too.

    The buffer has W1 and the transpose of W2, row by row. Each row is as long as whole vectors: what stands behind the
    n hidden units is zero.
    """

    def __init__(self, shape: Shape, flat: Floats | None = None) -> None:
        """Weights over the buffer `flat`, or over a new one of zeros."""
        self.shape = shape
        self.flat: Floats = zeros(shape.size) if flat is None else flat
        m, n, o = shape
        rows = self.flat.reshape(m + o, shape.width)
        self.w1, self.w2 = rows[:m, :n], rows[m:, :n].T

    @classmethod
    def draw(cls, shape: Shape, seed: int) -> "Weights":
        """Initial weights, a function of (shape, seed) alone: uniform in +-sqrt(6 / (fan in + fan out)), 4 times
        that for W1, whose units are logistic (Glorot and Bengio 2010, section 4.2.1, and its adaptation to the
        logistic function in the deep-learning tutorials of that group)."""
        weights = cls(shape)
        for part, (layer, gain) in enumerate([(weights.w1, 4.0), (weights.w2, 1.0)]):
            bound = gain * math.sqrt(6.0 / sum(layer.shape))
            bits = random_bits(seed, WEIGHTS, layer.size, part=part)
            layer[...] = uniform(bits, -bound, bound).reshape(layer.shape)
        return weights

    @classmethod
    def join(cls, w1: Floats, w2: Floats) -> "Weights":
        """Copies of W1 (m, n) and W2 (n, o), rounded to float32: to infinity if they are too large."""
        weights = cls(Shape(w1.shape[0], w1.shape[1], w2.shape[1]))
        with np.errstate(over="ignore"):
            weights.w1[...], weights.w2[...] = w1, w2
        return weights

    @classmethod
    def from_values(cls, shape: Shape, values: Floats) -> "Weights":
        """From what `values` gives. Raises ValueError if it has another size."""
        m, n, o = shape
        return cls.join(values[: m * n].reshape(m, n), values[m * n :].reshape(n, o))

    @property
    def values(self) -> Floats:
        """A copy of W1, then W2, row by row: (m n + n o,) float32."""
        return np.concatenate([self.w1.reshape(-1), self.w2.reshape(-1)])

    @property
    def finite(self) -> bool:
        """Whether all of them are finite numbers."""
        return bool(np.isfinite(self.flat).all())

    def sha256(self) -> str:
        """SHA-256 over the little-endian bytes of `values`."""
        return hashlib.sha256(self.values.astype("<f4", copy=False).data).hexdigest()


def zeros(count: int) -> Floats:
    """float32 zeros (count,), at the begin of a cache line."""
    room = np.zeros(count + CACHE_LINE // 4, np.float32)
    begin = -room.ctypes.data % CACHE_LINE // 4
    return room[begin : begin + count]
