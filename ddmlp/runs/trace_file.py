"""The file with the trace of a run, in the JSON array format of Chrome's Trace Event Format, bounded in size.

The first line is `[`, and each other line is an event, followed by a comma. The format permits a file without the last
`]`, so a file can be read while it is written, and after a crash.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

log = logging.getLogger(__name__)

NAME, BEFORE = "trace.json", "trace.1.json"
MAX_BYTES = 32 << 20  # of a file; the previous file is kept, too
HEAD = b"[\n"


class TraceFile:
    """Appends events to trace.json, and keeps the previous file as trace.1.json.

    If the file cannot be written, a warning says so, and the rest of the trace is lost: the training continues.
    """

    def __init__(self, folder: Path, most: int = MAX_BYTES) -> None:
        """Continue the file in this folder, after its last whole line; or begin one."""
        self._path, self._before, self._most = folder / NAME, folder / BEFORE, most
        self._broken = False
        self.begun = self._continue()

    def write(self, lines: bytes, head: Callable[[], str] = str) -> None:
        """Append lines, each an event and a comma. head: returns those that a new file begins with."""
        if self._broken:
            return
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            if size > len(HEAD) and size + len(lines) > self._most:
                self._path.replace(self._before)
                size = 0
            with self._path.open("ab") as file:
                file.write(lines if size else HEAD + head().encode() + lines)
        except OSError as error:
            self._broken = True
            log.warning("the trace %s is incomplete: %s", self._path, error.strerror or error)

    def _continue(self) -> bool:
        """Cut off what a crash has left of a line; returns whether the file has events."""
        try:
            with self._path.open("r+b") as file:
                data = file.read(len(HEAD))
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - (1 << 16)))
                rest = file.read()
                size -= len(rest) - (rest.rfind(b"\n") + 1)
                file.truncate(size if data == HEAD else 0)
                return data == HEAD and size > len(HEAD)
        except OSError:
            return False


def whole_lines(data: bytes) -> bytes:
    """Return the part of the data up to the end of the last whole line."""
    return data[: data.rfind(b"\n") + 1]


def read_events(lines: bytes) -> list[dict[str, Any]]:
    """Parse lines of a trace. Those that are damaged or no events are left out.

    >>> read_events(b'[\\n{"ph":"i","ts":1},\\n{"ph":"i","t')
    [{'ph': 'i', 'ts': 1}]
    """
    return [*_parsed(lines.splitlines())]


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found = msgspec.json.decode(line.rstrip(b","))
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found
