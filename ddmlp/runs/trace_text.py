"""Fills templates with numbers, many in one compiled call: a trace has ten thousands of lines a second."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ddmlp.nn.compiled import inlined, kernel
from ddmlp.runs.trace_template import Template

MINUS, ZERO, TEN = 45, np.uint64(48), np.uint64(10)
NUMBERS, TABLE, TEXT = "float64[::1]", "int64[:, ::1]", "Array(uint8, 1, 'C', readonly=True)"


class Writer:
    """Fills templates.

    Numbers are a flat sequence: the index of a template, then the numbers that it names, and so on. Moments become
    whole microseconds; `zero`, also in microseconds, is added to each.

    >>> writer = Writer([Template("begin end", "step", "step <step>: <begin>, for <end-begin>\\n")], zero=-1e6)
    >>> writer.text([0, 1.5, 3.5, 8, 0, 3.5, 3.75, 9])
    b'step 8: 500000, for 2000000\\nstep 9: 2500000, for 250000\\n'
    """

    def __init__(self, templates: Sequence[Template], zero: float) -> None:
        self._zero = zero
        self._most = max(each.longest / each.size for each in templates)  # bytes that a number can become
        pieces = [piece for each in templates for piece in each.pieces]
        fields = [field for each in templates for field in each.fields]
        ends = [*accumulate(map(len, pieces))]
        self._text = np.frombuffer(b"".join(pieces), np.uint8)
        self._pieces = np.array([(end, *field) for end, field in zip(ends, fields, strict=True)])
        lasts = accumulate(len(each.pieces) for each in templates)
        self._kinds = np.array([(each.size, each.moments, last) for each, last in zip(templates, lasts, strict=True)])
        self._room = np.empty(0, np.uint8)

    def text(self, numbers: Sequence[float]) -> bytes:
        """The templates, filled with these numbers."""
        most = int(self._most * len(numbers)) + 1
        if self._room.size < most:
            self._room = np.empty(most, np.uint8)
        given = np.array(numbers, np.float64)
        used = fill(given, self._kinds, self._pieces, self._text, self._zero, self._room)
        return self._room[:used].tobytes()


@kernel(NUMBERS, TABLE, TABLE, TEXT, "float64", "uint8[::1]")
def fill(numbers: Any, kinds: Any, pieces: Any, text: Any, zero: float, out: Any) -> int:
    """Fill templates; returns the number of bytes.

    kinds: of each template, how many numbers it has with its index, how many of these are moments, and the end of its
    pieces; pieces: of each, its end in the text, and its field.
    """
    at = used = 0
    while at < len(numbers):
        kind = int(numbers[at])
        size, moments, last = kinds[kind]
        first = kinds[kind - 1, 2] if kind else 0
        for piece in range(first, last):
            end, column, minus = pieces[piece]
            for place in range(pieces[piece - 1, 0] if piece else 0, end):
                out[used] = text[place]
                used += 1
            if column:
                number = whole(numbers[at + column], column <= moments, zero)
                if minus:
                    number -= whole(numbers[at + minus], minus <= moments, zero)
                used = put_digits(number, out, used)
        at += size
    return used


@inlined
def whole(number: Any, moment: Any, zero: Any) -> Any:
    """A number as a whole one; a moment in microseconds."""
    return int(1e6 * number + zero) if moment else int(number)


@inlined
def put_digits(number: Any, out: Any, used: Any) -> Any:
    """Write a number; returns the new `used`."""
    if number < 0:
        out[used] = MINUS
        used += 1
    rest = np.uint64(abs(number))
    end, power = used + 1, TEN
    while rest >= power:
        power *= TEN
        end += 1
    for place in range(end - 1, used - 1, -1):
        tenth = rest // TEN
        out[place] = ZERO + (rest - tenth * TEN)
        rest = tenth
    return end
