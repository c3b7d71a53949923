"""A kind of input: valid contents, how they are read, and how changed contents may be read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddmlp.errors import DdmlpError
from tests.fuzz.mutations import BYTES, Change

Meaning = Any


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Parameters
    ----------
    name
        The name.
    good
        Valid contents.
    read
        Returns the meaning of a content; raises one of `refusals` if it is invalid.
    changes
        The possible mutations.
    sealed
        Whether it has checksums. If so, a changed content must be rejected or have the same meaning, unless `allowed`.
    allowed
        Whether another meaning is acceptable, given the meaning found and the valid one.
    refusals
        The errors for invalid contents.
    """

    name: str
    good: list[bytes]
    read: Callable[[bytes], Meaning]
    changes: tuple[Change, ...] = BYTES
    sealed: bool = False
    allowed: Callable[[Meaning, Meaning], bool] = lambda _found, _good: False
    refusals: tuple[type[Exception], ...] = field(default=(DdmlpError,))


def of_file(path: Path, read: Callable[[], Meaning]) -> Callable[[bytes], Meaning]:
    """Return a function that writes a content to `path`, and calls `read`."""

    def written(content: bytes) -> Meaning:
        path.write_bytes(content)
        return read()

    return written
