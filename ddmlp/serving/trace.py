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
        The number of bytes that were left out: since the earlier part, or since the beginning of the file.
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
        if file and file == _number(run / BEFORE):  # the file is full: first the rest of it
            rest = _read(run / BEFORE, file, offset)
            return rest if rest.events else _read(run / NAME, None, 0)
        return _read(run / NAME, file, offset)
    except OSError:
        return None


def _read(path: Path, file: str | None, offset: int) -> Part:
    """Return what follows the offset; the newest part, if the path does not have the file that was expected."""
    with path.open("rb") as opened:
        found = os.fstat(opened.fileno())  # the path may have got another file since it was looked at
        number = str(found.st_ino)
        if file not in (None, number) or offset > found.st_size:
            offset = 0
        begin = max(offset, found.st_size - CHUNK_BYTES)
        opened.seek(begin)
        data = whole_lines(opened.read(CHUNK_BYTES))
        return Part(number, begin + len(data), begin - offset, read_events(data))


def _number(path: Path) -> str:
    """What tells a file from others; "" if it does not exist."""
    try:
        return str(path.stat().st_ino)
    except FileNotFoundError:
        return ""
