"""Packed arrays: the same bits come out, whatever the numbers are, and malformed ones are rejected."""

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from ddmlp.nn import reference
from ddmlp.nn.packing import RAW, largest_packed, pack, unpack
from ddmlp.nn.weights import Floats, Shape
from tests.support.guards import Guards

F = np.float32
SHAPE = Shape(5, 70, 2)
TINY, LARGE = F(1e-45), F(3e38)


def filled(rows: list[list[float]], shape: Shape = SHAPE) -> Floats:
    """Return a buffer whose first rows begin with these numbers; all others are zero."""
    flat = np.zeros((shape.rows, shape.width), F)
    for row, numbers in zip(flat, rows, strict=False):
        row[: len(numbers)] = numbers
    return flat.reshape(-1)


def packed_words(flat: Floats, shape: Shape = SHAPE) -> np.ndarray:
    """Pack in guarded buffers and check that the same bits come out; return the words."""
    guards = Guards()
    given, room, out = guards.copy(flat), guards.copy(np.full_like(flat, np.nan)), guards.copy(np.full_like(flat, 7))
    packed = pack(shape, given, room)
    assert packed is not None
    assert packed.size <= largest_packed(shape)
    unpack(shape, packed, out)
    assert out.tobytes() == given.tobytes() == flat.tobytes()
    guards.check()
    return packed.view(np.uint32)


def test_simple():
    words = packed_words(filled([[], [1, -2, 0, 3], [0.5, -0.25]]))
    assert words[0] == 0, "a row of zeros"
    assert words[1] & 255 == 3, "-2 to 3 have three bits"
    assert words[1] >> 8 == 127, "their unit is 1"
    assert words[2] & 0xFFF == 0b011_000_110_001
    after = 2 + -(-70 * 3 // 32)
    assert (words[after] & 255, words[after] >> 8) == (3, 125)
    assert len(words) == after + 1 + -(-70 * 3 // 32) + SHAPE.rows - 3


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_rounded_gradients(bits: int):
    """Rounded numbers are packed in the bits that they were rounded to, and sums of 4 in 2 or 3 bits more."""
    draw, shape = np.random.default_rng(bits), Shape(30, 100, 2)
    parts = [draw.normal(size=(shape.rows, shape.width)).astype(F) for _ in range(4)]
    for part in parts:
        part[:, 100:] = 0
    one, *others = (reference.rounded(part, bits).reshape(-1) for part in parts)
    words = packed_words(one, shape)
    assert {int(words[0] & 255)} <= {bits - 1, bits}
    assert words.size <= shape.rows * (1 + -(-100 * bits // 32))
    total = one + others[0] + others[1] + others[2]
    assert packed_words(total, shape).size <= shape.rows * (1 + -(-100 * (bits + 3) // 32))


NUMBERS = st.one_of(
    st.integers(-9, 9).map(float), st.integers(-(2**24), 2**24).map(float), st.floats(width=32),
    st.sampled_from([0.0, -0.0, float(TINY), float(-TINY), 2.0**-126, 2.0**-127, 2.0**127, float(LARGE), 2.0**-149]),
)  # fmt: skip


@given(
    st.lists(st.lists(NUMBERS, max_size=70), max_size=7),
    st.integers(-149, 104),
    st.sampled_from([1, 70]),
    st.sampled_from([0, 1e-40, 1.0, 1e20]),
)
def test_any_numbers(rows, exponent: int, repeat: int, scale: float):
    with np.errstate(all="ignore"):
        flat = filled([[number * 2.0**exponent if scale else number for number in row * repeat][:70] for row in rows])
        flat *= F(scale or 1)
    packed = pack(SHAPE, flat, room := np.empty_like(flat))
    event("not packed" if packed is None else "packed")
    if packed is not None:
        assert room[packed.size :].size
        packed_words(flat)


@pytest.mark.parametrize(
    "numbers",
    [
        [0.1, 100.0],
        [2.0**24, 1],
        [-0.0],
        [1, -0.0],
        [np.nan],
        [np.inf, 1],
        [TINY],
        [1, TINY],
        [2.0**-127, 2.0**-126],
        [LARGE, 1],
    ],
    ids=str,
)
def test_copied(numbers: list[float]):
    """What is no multiple of one power of two, in 24 bits, is copied; also -0, and the smallest and other numbers."""
    words = packed_words(filled([[], numbers]))
    assert words[1] == RAW
    assert words[2 : 2 + len(numbers)].view(F).tobytes() == np.array(numbers, F).tobytes()


@pytest.mark.parametrize(
    "numbers",
    [
        [2.0**23, 1],
        [2.0**24 - 1, -1],
        [2.0**-126, 3 * 2.0**-126],
        [2.0**127, -(2.0**104)],
        [LARGE],
        [-1],
        [2.0**-103, 2.0**-126],
    ],
)
def test_limits(numbers: list[float]):
    words = packed_words(filled([numbers]))
    assert 2 <= words[0] & 255 <= 25


def test_not_smaller():
    shape = Shape(5, 128, 2)
    flat = np.random.default_rng(1).normal(size=shape.size).astype(F)
    assert pack(shape, flat, np.empty_like(flat)) is None
    flat[: shape.size // 3] = 0
    packed_words(flat, shape)


def head(bits: int, exponent: int = 0) -> int:
    return bits + (exponent << 8)


@pytest.mark.parametrize(
    "words",
    [
        [], [0] * 6, [0] * 8, [head(0, 1), *[0] * 6], [head(1, 127), *[0] * 9], [head(26, 127), *[0] * 70],
        [head(31, 127), *[0] * 80], [head(33, 127), *[0] * 80], [head(255, 127), *[0] * 600], [head(8), *[0] * 24],
        [head(8, 255), *[0] * 24], [head(8, 2**24 - 1), *[0] * 24], [*[0] * 6, head(8, 127)],
        [*[0] * 6, head(8, 127), *[0] * 17], [*[0] * 6, RAW, *[0] * 69], [*[0] * 6, head(RAW, 127), *[0] * 70],
    ],
)  # fmt: skip
def test_malformed(words: list[int]):
    guards = Guards()
    out = guards.copy(np.zeros(SHAPE.size, F))
    with pytest.raises(ValueError, match="packed"):
        unpack(SHAPE, np.array(words, np.uint32).view(F), out)
    guards.check()


def test_cut_off():
    words = packed_words(filled([[1, 2], [0.1, 0.7], [5]] * 2))
    for end in range(len(words)):
        with pytest.raises(ValueError, match="packed"):
            unpack(SHAPE, words[:end].view(F), np.zeros(SHAPE.size, F))
