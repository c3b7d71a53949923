"""The weights of the network, and gradients, which have their form."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.numerics import WEIGHTS, random_bits, uniform

Floats = NDArray[np.floating[Any]]

LANES = 64  # hidden units of a vector; not in `lanes`, which loads the compiler
CACHE_LINE = 64  # bytes; a vector that lies across two lines is loaded at half the speed


class Parameter(NamedTuple):
    """An array that a network learns.

    Parameters
    ----------
    shape
        A matrix's, or a vector's.
    gain
        How wide its initial values spread, see `Weights.draw`; 0: they are zero.
    transposed
        Whether its columns lie in the rows of the buffer, and not its rows.
    """

    shape: tuple[int, ...]
    gain: float = 0.0
    transposed: bool = False

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def rows(self, width: int) -> int:
        """Rows of the buffer that it takes, each of `width` numbers."""
        return -(-self.shape[0] // width) if len(self.shape) == 1 else self.shape[self.transposed]

    def view(self, rows: Floats) -> Floats:
        """It, in these rows of the buffer."""
        if len(self.shape) == 1:
            return rows.reshape(-1)[: self.shape[0]]
        return rows[:, : self.shape[0]].T if self.transposed else rows[:, : self.shape[1]]


class Shape(NamedTuple):
    """How many inputs m, hidden units n and outputs o a network has."""

    inputs: int
    hidden: int
    outputs: int

    @property
    def parameters(self) -> dict[str, Parameter]:
        """All that a network of this shape learns, by name. This is the one list: the buffer, the hash, checkpoints,
        models, exports and messages have these arrays, in this order."""
        m, n, o = self
        return {"W1": Parameter((m, n), gain=4.0), "W2": Parameter((n, o), gain=1.0, transposed=True)}

    @classmethod
    def fitting(cls, arrays: Mapping[str, NDArray[Any]]) -> "Shape":
        """The shape of a network that has just these parameters. Raises ValueError, which says what does not fit."""
        try:
            (m, n), (_, o) = arrays["W1"].shape, arrays["W2"].shape
        except (KeyError, ValueError):
            m, n, o = 1, 1, 1
        expected = {name: each.shape for name, each in cls(m, n, o).parameters.items()}
        if arrays.keys() != expected.keys():
            raise ValueError(f"its arrays are {', '.join(sorted(arrays))}, expected {', '.join(expected)}")
        if {name: array.shape for name, array in arrays.items()} != expected or min(m, n, o) < 1:
            found = ", ".join(f"{name} {arrays[name].shape}" for name in expected)
            raise ValueError(f"its arrays do not fit each other: {found}")
        return cls(m, n, o)

    @property
    def width(self) -> int:
        """Hidden units that a row of the buffers has room for: whole vectors."""
        return -(-self.hidden // LANES) * LANES

    @property
    def size(self) -> int:
        """Numbers in the buffer of a version of the weights, or of a gradient."""
        return sum(each.rows(self.width) for each in self.parameters.values()) * self.width


class Weights:
    """The parameters of a network, float32, as views of one flat buffer (shape.size,). A gradient dE/dW is of this type
    too.

    The buffer has W1 and the transpose of W2, row by row. Each row is as long as whole vectors: what stands behind the
    n hidden units is zero.
    """

    def __init__(self, shape: Shape, flat: Floats | None = None) -> None:
        """Weights over the buffer `flat`, or over a new one of zeros."""
        self.shape = shape
        self.flat: Floats = zeros(shape.size) if flat is None else flat
        self.parameters: dict[str, Floats] = {}
        rows, begin = self.flat.reshape(-1, shape.width), 0
        for name, each in shape.parameters.items():
            end = begin + each.rows(shape.width)
            self.parameters[name] = each.view(rows[begin:end])
            begin = end

    @property
    def w1(self) -> Floats:
        """W1 (m, n)."""
        return self.parameters["W1"]

    @property
    def w2(self) -> Floats:
        """W2 (n, o)."""
        return self.parameters["W2"]

    @classmethod
    def draw(cls, shape: Shape, seed: int) -> "Weights":
        """Initial weights, a function of (shape, seed) alone: uniform in +-sqrt(6 / (fan in + fan out)), 4 times
        that for W1, whose units are logistic (Glorot and Bengio 2010, section 4.2.1, and its adaptation to the
        logistic function in the deep-learning tutorials of that group)."""
        weights = cls(shape)
        for part, (name, each) in enumerate(shape.parameters.items()):
            if each.gain:
                bound = each.gain * math.sqrt(6.0 / sum(each.shape))
                bits = random_bits(seed, WEIGHTS, each.size, part=part)
                weights.parameters[name][...] = uniform(bits, -bound, bound).reshape(each.shape)
        return weights

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Weights":
        """Copies of all parameters, given by name, rounded to float32: to infinity if they are too large.

        Raises ValueError as `Shape.fitting` does.
        """
        weights = cls(Shape.fitting(arrays))
        with np.errstate(over="ignore"):
            for name, parameter in weights.parameters.items():
                parameter[...] = arrays[name]
        return weights

    @classmethod
    def join(cls, *arrays: NDArray[Any]) -> "Weights":
        """The same, given in their order."""
        return cls.of(dict(zip(Shape(1, 1, 1).parameters, arrays, strict=True)))

    @classmethod
    def from_values(cls, shape: Shape, values: Floats) -> "Weights":
        """From what `values` gives. Raises ValueError if it has another size."""
        parameters = shape.parameters
        ends = np.cumsum([each.size for each in parameters.values()])
        if values.shape != (ends[-1],):
            raise ValueError(f"an array of {values.shape} numbers, expected {ends[-1]}")
        parts = zip(parameters.items(), np.split(values, ends[:-1]), strict=True)
        return cls.of({name: part.reshape(each.shape) for (name, each), part in parts})

    @property
    def values(self) -> Floats:
        """A copy of all parameters, one after the other, row by row: (m n + n o,) float32."""
        return np.concatenate([each.reshape(-1) for each in self.parameters.values()])

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
