"""Follows a run while it trains: reads metrics.jsonl as it grows, and sends its events."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ddmlp.errors import RunError
from ddmlp.runs import REPORT
from ddmlp.runs.events import Event, read_event
from ddmlp.runs.lag import read_lag
from ddmlp.runs.run import Run
from ddmlp.runs.trace_file import NAME as TRACE

CHUNK_BYTES = 256 << 10  # read at a time
MAX_LINE_BYTES = 64 << 10  # a longer line is not an event
POLL_SECONDS = 0.25
QUIET_SECONDS = 5  # resolution of the time since the last write


class Follower:
    """Reads what is appended to a metrics.jsonl.

    The file may not exist yet, may be truncated or replaced (a resume replaces it), and may have damaged or unfinished
    lines, which are skipped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""  # of a line that has not ended

    def read(self) -> tuple[bool, list[Event]]:
        """Return whether the file was replaced, so that all earlier events are void, and the next events.

        Reads at most CHUNK_BYTES bytes.
        """
        again = self._file is not None and not self._continues()
        if again:
            self.close()
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return again, []
        *lines, rest = (self._rest + self._file.read(CHUNK_BYTES)).split(b"\n")
        self._rest = rest[:MAX_LINE_BYTES]  # a longer line stays damaged
        return again, [event for line in lines if (event := _known(line))]

    def close(self) -> None:
        """Close the file; the next `read` opens it again."""
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _continues(self) -> bool:
        """Whether the open file is still at the path and not truncated. While it is open, its inode is not reused."""
        assert self._file is not None
        ours = os.fstat(self._file.fileno())
        try:
            return os.path.samestat(ours, self._path.stat()) and ours.st_size >= self._file.tell()
        except FileNotFoundError:
            return False


def _known(line: bytes) -> Event | None:
    """Parse a line; return None if it is damaged or of an unknown kind."""
    try:
        return read_event(line)
    except ValueError:
        return None


async def watch(run: Run, over: Callable[[], bool]) -> AsyncIterator[str]:
    """Yield server-sent events about a run until `over` returns true.

    The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html.

    ======  =======================================================================
    again   discard all earlier events: the run was rewound, or the stream begins
    events  lines of metrics.jsonl, in order
    state   the result of `state`, when it changes
    ======  =======================================================================
    """
    follower, told = Follower(run.path / "metrics.jsonl"), None
    try:
        yield _message("again", None)
        while not over():
            now = state(run)  # before reading events, so that a result is sent only after all events before it
            again, events = follower.read()
            if again:
                yield _message("again", None)
            if events:
                yield _message("events", events)
            elif now != told:
                yield _message("state", told := now)
            await asyncio.sleep(0 if events else POLL_SECONDS)
    finally:
        follower.close()


def state(run: Run) -> dict[str, Any]:
    """Return the state of a run.

    Returns
    -------
    dict
        begun: whether the run exists; quiet: seconds since metrics.jsonl was written to, in steps of QUIET_SECONDS;
        result: the result, unless metrics.jsonl is newer; epochs: total number of epochs, None if the run has no
        fixed end; report, trace: whether these exist; lag: how far the run is behind its stream now, None if unknown.
    """
    exist = {"report": (run.path / REPORT).exists(), "trace": (run.path / TRACE).exists()}
    about = {"epochs": _epochs(run), "lag": read_lag(run.path), **exist}
    written = _written(run.path / "metrics.jsonl")
    if written is None:
        return {"begun": run.exists, "quiet": 0, "result": None, **about}
    ended = _written(run.path / "result.json")
    result = None
    if ended is not None and ended >= written:
        with suppress(RunError):  # a damaged result counts as none
            result = run.result()
    quiet = max(0.0, time.time() - written)
    return {"begun": True, "quiet": int(quiet / QUIET_SECONDS) * QUIET_SECONDS, "result": result, **about}


def _epochs(run: Run) -> int | None:
    """Return the total number of epochs; None if it is unknown or the run has no fixed end."""
    try:
        config = run.origin().config
    except (RunError, OSError):  # the run has not begun, or cannot be read
        return None
    return None if config.follow else config.epochs


def _written(path: Path) -> float | None:
    """Return when a file was last written to; None if it does not exist."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _message(name: str, data: Any) -> str:
    """Encode a server-sent event. Numbers that are not finite become null, because JSON does not have them."""
    return f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"
