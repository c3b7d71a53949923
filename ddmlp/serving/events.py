"""A run, watched while it trains: metrics.jsonl, followed as it grows."""

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
from ddmlp.runs.run import Run

CHUNK_BYTES = 256 << 10  # read at a time
MAX_LINE_BYTES = 64 << 10  # a longer line is none of ours
POLL_SECONDS = 0.25
QUIET_SECONDS = 5  # the unit in which silence is told


class Follower:
    """Reads what is appended to a file of JSON lines, whatever becomes of the file: not there yet, cut, replaced (as a
    resume does it), with lines that are damaged or half written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""  # of a line that has not ended

    def read(self) -> tuple[bool, list[Event]]:
        """Whether the file is another than before, so that what was read of it is void; and the next events, those of
        CHUNK_BYTES bytes at most."""
        again = self._file is not None and not self._goes_on()
        if again:
            self.close()
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return again, []
        *lines, rest = (self._rest + self._file.read(CHUNK_BYTES)).split(b"\n")
        self._rest = rest[:MAX_LINE_BYTES]  # a longer one cannot become JSON again
        return again, [event for line in lines if (event := _known(line))]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _goes_on(self) -> bool:
        """Whether the open file is still the one at the path, and not cut. While it is open, no other has its inode."""
        assert self._file is not None
        ours = os.fstat(self._file.fileno())
        try:
            return os.path.samestat(ours, self._path.stat()) and ours.st_size >= self._file.tell()
        except FileNotFoundError:
            return False


def _known(line: bytes) -> Event | None:
    """The event of a line; None if it is damaged, or of an unknown kind."""
    try:
        return read_event(line)
    except ValueError:
        return None


async def watch(run: Run, over: Callable[[], bool]) -> AsyncIterator[str]:
    """Server-sent events about a run, until `over`.

    again   forget what was told: the run was taken back, or this is the beginning
    events  lines of metrics.jsonl, in their order
    state   what `state` says, where it has changed
    """
    follower, told = Follower(run.path / "metrics.jsonl"), None
    try:
        yield _message("again", None)
        while not over():
            now = state(run)  # before the events are read: a result is told once all events before it are
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
    """What a run is at: it has not begun, it trains, or it has come to a result that no later line takes back.

    quiet: for how many seconds nothing was written, in steps of QUIET_SECONDS; epochs: how many it comes to, None if it
    has no end of its own; report: whether there is one.
    """
    about = {"epochs": _epochs(run), "report": (run.path / REPORT).exists()}
    written = _written(run.path / "metrics.jsonl")
    if written is None:
        return {"begun": run.exists, "quiet": 0, "result": None, **about}
    ended = _written(run.path / "result.json")
    result = None
    if ended is not None and ended >= written:
        with suppress(RunError):  # a damaged one is no news of the run
            result = run.result()
    quiet = max(0.0, time.time() - written)
    return {"begun": True, "quiet": int(quiet / QUIET_SECONDS) * QUIET_SECONDS, "result": result, **about}


def _epochs(run: Run) -> int | None:
    """How many epochs the run comes to; None if nobody knows."""
    try:
        config = run.origin().config
    except (RunError, OSError):  # it has not begun, or is none that can be read
        return None
    return None if config.follow else config.epochs


def _written(path: Path) -> float | None:
    """When a file was last written to; None if there is none."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _message(name: str, data: Any) -> str:
    """A server-sent event. JSON has no numbers that are not finite: they become null."""
    return f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"
