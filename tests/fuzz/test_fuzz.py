"""A short `make fuzz`: changed inputs are read correctly, or rejected with an expected error."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ddmlp.errors import RunError
from tests.fuzz.kind import Kind
from tests.fuzz.kinds import kinds
from tests.fuzz.run import FAULT, OTHER, REFUSED, changed, fuzz

INPUTS = 50  # of each kind
GOOD = b"\0" * 8


def test_every_kind(tmp_path: Path):
    found = {kind.name: fuzz(kind, range(INPUTS)) for kind in [*kinds(tmp_path)]}
    assert {name: outcome.faults for name, outcome in found.items() if outcome.faults} == {}
    assert all(outcome.counts.total() == INPUTS for outcome in found.values())
    assert all(outcome.counts[REFUSED] for outcome in found.values())


def raising(error: Exception) -> Callable[[bytes], bytes]:
    """Return a reader that raises `error` for any content but GOOD."""

    def read(content: bytes) -> bytes:
        if content != GOOD:
            raise error
        return content

    return read


@pytest.mark.parametrize(
    ("read", "word"),
    [(raising(KeyError("x")), "KeyError"), (raising(RunError("a\nb")), "unprintable"), (bytes, "another meaning")],
)
def test_faults(read: Callable[[bytes], bytes], word: str):
    """Each kind of fault: an unexpected error, a message of two lines, and another meaning."""
    outcome = fuzz(Kind("a", [GOOD], read, sealed=True), range(200))
    assert (outcome.counts[OTHER], outcome.counts[REFUSED], outcome.counts[FAULT] > 100) == (0, 0, True)
    assert all(word in fault for fault in outcome.faults)
    allowed = fuzz(Kind("a", [GOOD], raising(RunError("a")), sealed=True), range(200))
    assert (allowed.counts[FAULT], allowed.counts[REFUSED] > 100) == (0, True)


@pytest.mark.parametrize("number", [0, 1, 7])
def test_repeatable(number: int):
    kind = Kind("a", [b"abc" * 9, b"xyz" * 9], bytes)
    assert changed(kind, number) == changed(kind, number)
    assert changed(kind, number)[0] == kind.good[number % 2]
