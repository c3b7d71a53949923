"""Mutations: flipped bits; lost, doubled or swapped blocks; other numbers and texts."""

import random
import re
from collections.abc import Callable

Change = Callable[[random.Random, bytes], bytes]

NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?")
TEXT = re.compile(rb'"[^"\\]*"')
EXTREMES = [
    b"0", b"-0", b"-1", b"1", b"255", b"256", b"0.5", b"1.0", b"1e308", b"1e400", b"-1e400", b"NaN", b"Infinity",
    b"1e-400",
    str(2**31).encode(), str(2**53 + 1).encode(), str(2**63).encode(), str(2**64).encode(), str(10**400).encode(),
    b"9" * 5000, b"true", b"null", b'"7"', b"[]", b"{}", b"[1, 2]", b"[" * 20_000, b'{"a":' * 20_000,
]  # fmt: skip
TEXTS = [
    rb'"\ud800"', rb'"\udcff"', rb'"\u0000"', rb'"\n\u001b[2J"', b'""', b'"' + b"f" * 64 + b'"', b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"' + b"a" * 70_000 + b'"', b"null", b"0", b"[]", b"{}",
]  # fmt: skip
WORDS = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\x80", b"\1\0\0\0"]


def flip(draw: random.Random, good: bytes) -> bytes:
    """Flip one bit, or a few."""
    found = bytearray(good)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def overwrite(draw: random.Random, good: bytes) -> bytes:
    """Overwrite a byte, or a word of 32 or 64 bits, with another value."""
    at, word = draw.randrange(len(good)), draw.choice([bytes([draw.randrange(256)]), *WORDS])
    word *= draw.choice((1, 2))
    return good[:at] + word + good[at + len(word) :]


def cut(draw: random.Random, good: bytes) -> bytes:
    """Keep only the bytes before or after a random offset."""
    at = draw.randrange(len(good))
    return draw.choice((good[:at], good[at:]))


def rearrange(draw: random.Random, good: bytes) -> bytes:
    """Remove or double a block, swap two blocks, or insert random bytes."""
    a, b, c = sorted(draw.randrange(len(good) + 1) for _ in range(3))
    return draw.choice(
        (
            good[:a] + good[b:],
            good[:b] + good[a:],
            good[:a] + good[b:c] + good[a:b] + good[c:],
            good[:a] + draw.randbytes(draw.choice((1, 4, 64))) + good[a:],
            good + good,
        )
    )


def replace(pattern: re.Pattern[bytes], values: list[bytes]) -> Change:
    """Return a mutation that replaces one match of the pattern by one of the values."""

    def change(draw: random.Random, good: bytes) -> bytes:
        places = [found.span() for found in pattern.finditer(good)]
        if not places:
            return flip(draw, good)
        begin, end = draw.choice(places)
        return good[:begin] + draw.choice(values) + good[end:]

    return change


BYTES: tuple[Change, ...] = (flip, flip, overwrite, cut, rearrange)
JSON: tuple[Change, ...] = (*BYTES, replace(NUMBER, EXTREMES), replace(TEXT, TEXTS))


def mutate(draw: random.Random, good: bytes, changes: tuple[Change, ...]) -> bytes:
    """Return `good` after one to three mutations."""
    found = good
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if found:
            found = draw.choice(changes)(draw, found)
    return found
