"""Templates filled by a compiled function, compared with Python's own formatting."""

import random

import pytest

from ddmlp.runs.trace_text import Template, Writer

ZERO = 1.7e15
TEMPLATES = [
    Template("begin end", "step", "<step>: <begin>, <end-begin>\n"),
    Template("", "one", "<one>"),
    Template("moment", "one two", "no <two-one> at <moment> and <two><one>é\n"),
]


def whole(moment: float) -> int:
    return int(1e6 * moment + ZERO)


def test_simple():
    writer = Writer(TEMPLATES, ZERO)
    chosen = random.Random(3)
    numbers: list[float] = []
    expected = ""
    for _ in range(1_000):
        begin, end = chosen.uniform(0, 1e7), chosen.uniform(0, 1e7)
        one, two = (chosen.randrange(-(10 ** chosen.randrange(1, 16)), 10 ** chosen.randrange(1, 16)) for _ in "12")
        kind = chosen.randrange(3)
        numbers += [(0, begin, end, one), (1, one), (2, begin, one, two)][kind]
        expected += [
            f"{one}: {whole(begin)}, {whole(end) - whole(begin)}\n",
            f"{one}",
            f"no {two - one} at {whole(begin)} and {two}{one}é\n",
        ][kind]
    assert writer.text(numbers).decode() == expected
    assert writer.text([]) == b""


@pytest.mark.parametrize("number", [0, 9, 10, -1, -10, 99, 100, 2**53, -(2**53)])
def test_digits(number: int):
    assert Writer(TEMPLATES, ZERO).text([1, number]) == str(number).encode()


def test_longest():
    """The room is enough if each number has as many digits as it can."""
    numbers = [0, -1e12, 1e12, -(2.0**62)] * 50
    text = Writer(TEMPLATES, 0.0).text(numbers).decode()
    assert text == f"{-(2**62)}: {-(10**18)}, {2 * 10**18}\n" * 50


def test_unknown_name():
    with pytest.raises(KeyError, match="other"):
        Template("moment", "one", "<other>")
