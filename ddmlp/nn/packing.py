"""Packs arrays of float32 for a slow link, without loss: the same bits come out.

An array has rows of `width` numbers, of which the first n may differ from +0, as in a buffer of `Weights`. A row whose
numbers are all multiples of one power of two is packed as integers, of as few bits as it needs; so is what `rounding`
makes, and a sum of such rows. A row of zeros, as of a pixel that is zero in all images, takes one word. All other rows
are copied.

Format: for each row a word of 32 bits, with the number of bits of an integer, and from bit 8 on the exponent of the
power of two, as in a float32. Then n integers in two's complement, the first in the lowest bits of the first word; the
last word is filled up with zeros. Bits 0: all numbers are zero, and nothing follows. Bits 32: float32 numbers follow.
"""

from typing import Any

import numpy as np

from ddmlp.nn.compiled import inlined, kernel
from ddmlp.nn.rounding import BIAS, MANTISSA, SMALLEST, power_of_two
from ddmlp.nn.weights import Floats, Shape

MOST, RAW = 25, 32  # bits: of an integer, 24 and a sign; of a number that is copied
STEP = 64  # numbers that are looked at before a row is given up
FLOATS, WORDS = "float32[::1]", "uint32[::1]"
MAGNITUDE, MINUS_ZERO = np.uint32(0x7FFFFFFF), np.uint32(0x80000000)


def largest_packed(shape: Shape) -> int:
    """The most words of a packed array: what would be longer is not packed."""
    return shape.size // 4 * 3


def pack(shape: Shape, flat: Floats, room: Floats) -> Floats | None:
    """Pack a buffer (shape.size,) into `room`, another one of this size.

    Returns the part of `room` that is used, as float32 which stand for any bits; None if that would be more than
    `largest_packed`.
    """
    used = pack_rows(
        flat, flat.view(np.uint32), shape.width, shape.hidden, room[: largest_packed(shape)].view(np.uint32)
    )
    return room[:used] if used else None


def unpack(shape: Shape, packed: Floats, out: Floats) -> None:
    """Unpack a result of `pack` into `out` (shape.size,). Raises ValueError if it is malformed."""
    if not unpack_rows(packed.view(np.uint32), shape.width, shape.hidden, out, out.view(np.uint32)):
        raise ValueError(f"{packed.nbytes:,} bytes are no packed array of the shape {shape}")


@inlined
def bits_of(x: Any) -> Any:
    """The number of bits of x >= 0."""
    bits = 0
    while x:
        x >>= 1
        bits += 1
    return bits


@inlined
def describe(numbers: Any, words: Any, begin: int, end: int) -> Any:
    """How the numbers begin..end - 1 are packed: as integers of how many bits, the exponent of their unit 2^exponent,
    and the exponent of the smallest unit that they could have. words: the numbers as words."""
    top = every = np.uint32(0)
    for place in range(begin, end):
        top = max(top, words[place] & MAGNITUDE)
        every |= words[place]
    if every == 0:
        return 0, 0, 0
    exponent = np.int64(top >> np.uint32(MANTISSA)) - BIAS
    if exponent <= -BIAS or exponent > BIAS:  # the largest is denormal, or not finite
        return RAW, 0, 0
    least: Any = max(exponent - MANTISSA, SMALLEST)
    unit, inverse = power_of_two(least), power_of_two(-least)
    joint = most = np.int32(0)
    for start in range(begin, end, STEP):
        exact = True
        for place in range(start, min(start + STEP, end)):
            whole = np.int32(numbers[place] * inverse)
            exact &= (np.float32(whole) * unit == numbers[place]) & (words[place] != MINUS_ZERO)
            joint |= whole
            most = max(most, abs(whole))
        if not exact:
            return RAW, 0, 0
    shift = 0
    while not (joint >> shift) & 1:
        shift += 1
    return bits_of(most >> shift) + 1, least + shift, least


@inlined
def count_words(bits: int, n: int) -> int:
    """How many words n integers of `bits` bits take."""
    return (n * bits + 31) // 32


@kernel(FLOATS, WORDS, "intp", "intp", WORDS)
def pack_rows(numbers: Any, words: Any, width: int, n: int, out: Any) -> int:
    """Pack rows of `width` numbers, of which n count; words: the same memory. Returns the number of words that are
    used, or 0 if there is no room for them."""
    used = 0
    for begin in range(0, len(numbers), width):
        bits, exponent, least = describe(numbers, words, begin, begin + n)
        if used + 1 + count_words(bits, n) > len(out):
            return 0
        out[used] = np.uint32(bits + ((exponent + BIAS) << 8 if 0 < bits < RAW else 0))
        used += 1
        if bits == RAW:
            for place in range(n):
                out[used + place] = words[begin + place]
            used += n
        elif bits:
            used = write_integers(numbers, begin, n, power_of_two(-least), exponent - least, bits, out, used)
    return used


@inlined
def write_integers(numbers: Any, begin: int, n: int, inverse: Any, shift: int, bits: int, out: Any, used: int) -> int:
    """Write numbers times `inverse`, without the `shift` lowest bits, which are zero. Returns the new `used`."""
    mask = np.uint64((1 << bits) - 1)
    held, filled = np.uint64(0), 0
    for place in range(begin, begin + n):
        whole = np.int64(np.int32(numbers[place] * inverse) >> shift)
        held |= (np.uint64(whole) & mask) << np.uint64(filled)
        filled += bits
        if filled >= 32:
            out[used] = np.uint32(held & np.uint64(0xFFFFFFFF))
            used += 1
            held >>= np.uint64(32)
            filled -= 32
    if filled:
        out[used] = np.uint32(held)
        used += 1
    return used


@kernel(WORDS, "intp", "intp", FLOATS, WORDS)
def unpack_rows(packed: Any, width: int, n: int, out: Any, words: Any) -> bool:
    """Unpack a result of `pack_rows` into `out`; words: the same memory. Returns whether it is well formed."""
    used = 0
    for begin in range(0, len(out), width):
        if used >= len(packed):
            return False
        head: Any = np.int64(packed[used])
        used += 1
        bits, exponent = head & 255, head >> 8
        if bits == 0 or bits == RAW:
            if exponent:
                return False
        elif bits < 2 or bits > MOST or not 0 < exponent <= 2 * BIAS:
            return False
        if used + count_words(bits, n) > len(packed):
            return False
        if bits == RAW:
            for place in range(n):
                words[begin + place] = packed[used + place]
            used += n
        elif bits:
            used = read_integers(packed, used, bits, power_of_two(exponent - BIAS), out, begin, n)
        for place in range(begin if bits == 0 else begin + n, begin + width):
            words[place] = 0
    return used == len(packed)


@inlined
def read_integers(packed: Any, used: int, bits: int, unit: Any, out: Any, begin: int, n: int) -> int:
    """Read what `write_integers` has written, times `unit`. Returns the new `used`."""
    held, filled = np.uint64(0), 0
    for place in range(begin, begin + n):
        if filled < bits:
            held |= np.uint64(packed[used]) << np.uint64(filled)
            used += 1
            filled += 32
        whole = np.int64(held << np.uint64(64 - bits)) >> (64 - bits)
        out[place] = np.float32(whole) * unit
        held >>= np.uint64(bits)
        filled -= bits
    return used
