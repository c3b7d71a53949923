"""The weights of the network, and gradients, which have the same layout."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddmlp.numerics import WEIGHTS, random_bits, uniform

Floats = NDArray[np.floating[Any]]

LANES = 64  # hidden units of a vector; defined here because importing `lanes` loads the compiler
CACHE_LINE = 64  # bytes; loading a vector that crosses two lines takes twice as long


class Parameter(NamedTuple):
    """The description of one array that a network learns.

    Parameters
    ----------
    shape : tuple of int
        The shape of the matrix or vector.
    gain : float
        A factor of the range of its initial values, as in `Weights.draw`; if it is 0, they are zero.
    transposed : bool
        Whether each row of the buffer holds a column of the matrix, instead of a row.
    """

    shape: tuple[int, ...]
    gain: float = 0.0
    transposed: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def rows(self, width: int) -> int:
        """The number of rows, of `width` numbers each, that it takes in the buffer."""
        return -(-self.shape[0] // width) if len(self.shape) == 1 else self.shape[self.transposed]

    def view(self, rows: Floats) -> Floats:
        """A view of the array in its rows of the buffer."""
        if len(self.shape) == 1:
            return rows.reshape(-1)[: self.shape[0]]
        return rows[:, : self.shape[0]].T if self.transposed else rows[:, : self.shape[1]]


class Shape(NamedTuple):
    """The shape of a network: the numbers of inputs m, hidden units n and outputs o.

    >>> Shape(784, 256, 10).parameters["W2"].shape
    (256, 10)
    """

    inputs: int
    hidden: int
    outputs: int

    def __str__(self) -> str:
        return "-".join(map(str, self))

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The arrays that a network of this shape learns, by name.

        This is the only list of them: the buffer, the hash, checkpoints, models, exports and messages have these
        arrays, in this order.
        """
        m, n, o = self
        return {"W1": Parameter((m, n), gain=4.0), "W2": Parameter((n, o), gain=1.0, transposed=True)}

    @classmethod
    def fitting(cls, arrays: Mapping[str, NDArray[Any]]) -> "Shape":
        """The shape of the network that has exactly these parameters.

        Raises ValueError if one is missing or unknown, or if their shapes do not fit each other.
        """
        try:
            (m, n), (_, o) = arrays["W1"].shape, arrays["W2"].shape
        except (KeyError, ValueError):
            m, n, o = 1, 1, 1
        expected = {name: each.shape for name, each in cls(m, n, o).parameters.items()}
        if arrays.keys() != expected.keys():
            raise ValueError(f"the arrays are {', '.join(sorted(arrays))}, expected {', '.join(expected)}")
        if {name: array.shape for name, array in arrays.items()} != expected or min(m, n, o) < 1:
            found = ", ".join(f"{name} {arrays[name].shape}" for name in expected)
            raise ValueError(f"the shapes of the arrays do not fit each other: {found}")
        return cls(m, n, o)

    @property
    def width(self) -> int:
        """The length of a row of the buffers: n, rounded up to whole vectors."""
        return -(-self.hidden // LANES) * LANES

    @property
    def rows(self) -> int:
        """The number of rows of the buffers."""
        return sum(each.rows(self.width) for each in self.parameters.values())

    @property
    def size(self) -> int:
        """The number of elements in a buffer of weights, or of a gradient."""
        return self.rows * self.width


class Weights:
    """The parameters of a network, float32, as views of one flat buffer. A gradient dE/dW has this type, too.

    The buffer has the rows of W1, then those of the transpose of W2. Each row is padded with zeros to whole vectors.

    Parameters
    ----------
    shape : Shape
        The shape of the network.
    flat : (shape.size,) float32, optional
        The buffer to use, which is not copied; without it, a new one of zeros.

    Examples
    --------
    >>> weights = Weights.draw(Shape(2, 3, 2), seed=0)
    >>> weights.w1.shape, weights.w2.shape, weights.flat.shape
    ((2, 3), (3, 2), (256,))
    >>> weights.sha256()[:8]
    'd08a5194'
    """

    def __init__(self, shape: Shape, flat: Floats | None = None) -> None:
        self.shape = shape
        self.flat: Floats = zeros(shape.size) if flat is None else flat
        self.parameters: dict[str, Floats] = {}
        rows, begin = self.flat.reshape(shape.rows, shape.width), 0
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
        """Draw initial weights, a function of (shape, seed) alone.

        They are uniform in +-sqrt(6 / (fan in + fan out)), and for W1 in 4 times that range, because its units are
        logistic (Glorot and Bengio 2010, section 4.2.1, and its adaptation to the logistic function in the
        deep-learning tutorials of the same group).
        """
        weights = cls(shape)
        for part, (name, each) in enumerate(shape.parameters.items()):
            if each.gain:
                bound = each.gain * math.sqrt(6.0 / sum(each.shape))
                bits = random_bits(seed, WEIGHTS, each.size, part=part)
                weights.parameters[name][...] = uniform(bits, -bound, bound).reshape(each.shape)
        return weights

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Weights":
        """Copy all parameters, given by name, rounded to float32: to infinity if they are too large.

        Raises ValueError as `Shape.fitting` does.

        >>> Weights.of({"W1": np.ones((2, 3)), "W2": np.ones((3, 2))}).shape
        Shape(inputs=2, hidden=3, outputs=2)
        """
        weights = cls(Shape.fitting(arrays))
        with np.errstate(over="ignore"):
            for name, parameter in weights.parameters.items():
                parameter[...] = arrays[name]
        return weights

    @classmethod
    def join(cls, *arrays: NDArray[Any]) -> "Weights":
        """Copy all parameters, given in the order of `Shape.parameters`; see `of`."""
        return cls.of(dict(zip(Shape(1, 1, 1).parameters, arrays, strict=True)))

    @classmethod
    def from_values(cls, shape: Shape, values: Floats) -> "Weights":
        """Build weights from a result of `values`. Raises ValueError if its size does not fit the shape."""
        parameters = shape.parameters
        ends = np.cumsum([each.size for each in parameters.values()])
        if values.shape != (ends[-1],):
            raise ValueError(f"the values have the shape {values.shape}, expected {(int(ends[-1]),)}")
        parts = zip(parameters.items(), np.split(values, ends[:-1]), strict=True)
        return cls.of({name: part.reshape(each.shape) for (name, each), part in parts})

    @property
    def values(self) -> Floats:
        """A copy of all parameters, one after the other, each row by row: shape (m n + n o,), float32."""
        return np.concatenate([each.reshape(-1) for each in self.parameters.values()])

    @property
    def finite(self) -> bool:
        """Whether all parameters are finite."""
        return bool(np.isfinite(self.flat).all())

    def sha256(self) -> str:
        """The SHA-256, in hexadecimal, of the little-endian bytes of `values`."""
        return hashlib.sha256(self.values.astype("<f4", copy=False).data).hexdigest()


def zeros(count: int) -> Floats:
    """An array of `count` float32 zeros that begins at a cache line."""
    room = np.zeros(count + CACHE_LINE // 4, np.float32)
    begin = -room.ctypes.data % CACHE_LINE // 4
    return room[begin : begin + count]
