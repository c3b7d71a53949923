"""A kind of input: good contents, how they are read, and what may become of others."""

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
        What it is called.
    good
        Contents that are read without a complaint.
    read
        What a content means; raises one of `refusals` if it is none.
    changes
        How it is mutated.
    sealed
        Whether it has checksums: then no other content may mean anything else, but for what `allowed` says.
    """

    name: str
    good: list[bytes]
    read: Callable[[bytes], Meaning]
    changes: tuple[Change, ...] = BYTES
    sealed: bool = False
    allowed: Callable[[Meaning, Meaning], bool] = lambda _found, _good: False
    refusals: tuple[type[Exception], ...] = field(default=(DdmlpError,))


def of_file(path: Path, read: Callable[[], Meaning]) -> Callable[[bytes], Meaning]:
    """Reads contents as those of the file `path`."""

    def written(content: bytes) -> Meaning:
        path.write_bytes(content)
        return read()

    return written
