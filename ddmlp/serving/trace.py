"""Reads the trace of a run, part by part, while it is written."""

import os
from pathlib import Path

import msgspec

from ddmlp.runs.trace_file import BEFORE, NAME, read_events, whole_lines

CHUNK_BYTES = 256 << 10  # read at a time


class Part(msgspec.Struct, frozen=True):
    """A part of a trace, as the answer to a request.

    Parameters
    ----------
    file
        The file that it is of.
    offset
        The position of the next part in it.
    skipped
        The number of bytes before this part that were left out.
    events
        The events.
    """

    file: str
    offset: int
    skipped: int
    events: list[dict[str, object]]


def read_part(run: Path, file: str = "", offset: int = 0) -> Part | None:
    """Return what follows an earlier part; None if there is no trace.

    It begins at most CHUNK_BYTES before the end of the trace: a reader that is slower than the run misses events.

    Parameters
    ----------
    run
        The folder of the run.
    file, offset
        Those of the earlier part.
    """
    try:
        new = _number(run / NAME)
        if file and file == _number(run / BEFORE):  # the file is full: first the rest of it
            rest = _read(run / BEFORE, file, offset)
            return rest if rest.events else _read(run / NAME, new, 0)
        return _read(run / NAME, new, offset if file == new else None)
    except OSError:
        return None


def _read(path: Path, number: str, offset: int | None) -> Part:
    """Return the part of a file from an offset; None: its newest part."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        begin = max(0, size - CHUNK_BYTES)
        if offset is not None and begin < offset <= size:
            begin = offset
        file.seek(begin)
        data = whole_lines(file.read(CHUNK_BYTES))
        return Part(number, begin + len(data), 0 if offset is None else max(0, begin - offset), read_events(data))


def _number(path: Path) -> str:
    """What tells a file from others; "" if it does not exist."""
    try:
        return str(path.stat().st_ino)
    except FileNotFoundError:
        return ""
