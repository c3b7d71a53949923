"""A trace of a queue and a server that do what the test says, at the times that it says."""

from pathlib import Path
from typing import Any

import pytest

from ddmlp.config import Timeouts
from ddmlp.training.trace import Trace
from ddmlp.training.unit_queue import UnitQueue
from tests.support.traces import events, named


class Connections:
    """Workers that join and leave when the test says so."""

    def attend(self, peer: Any) -> Any:
        return peer

    def remove(self, peer: Any, cause: str, reason: str) -> bool:
        return bool(cause and reason and peer)


class Server:
    """Adds and applies nothing."""

    version = 0

    def receive(self, gradient: Any) -> None:
        assert gradient.unit

    def apply_step(self, step: int, _step_size: float) -> None:
        assert step == self.version
        self.version += 1


class Recorder:
    def save_checkpoint(self) -> None: ...

    def end_epoch(self) -> None: ...

    def report(self) -> None: ...


class Peer:
    def __init__(self, worker: int) -> None:
        self.worker, self.host = worker, "here"


class Traced:
    """A queue, connections and a server, traced; the clock is the test's."""

    def __init__(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run, self.now = run, 100.0
        monkeypatch.setattr("time.monotonic", self.clock)
        monkeypatch.setattr("time.time", lambda: 1_000_000.0)
        self.queue, self.connections = UnitQueue(8, Timeouts(overdue=0.5)), Connections()
        self.server, self.recorder = Server(), Recorder()
        self.trace = Trace(run, 7, workers=2)
        self.trace.follow_pool(self.queue, self.connections, unread=lambda: 3)
        self.trace.follow_server(self.server)  # type: ignore[arg-type]
        self.trace.follow_recorder(self.recorder)  # type: ignore[arg-type]

    def clock(self) -> float:
        return self.now

    def at(self, now: float) -> UnitQueue:
        """The queue, at a time."""
        self.now = now
        return self.queue

    def events(self) -> list[dict[str, Any]]:
        self.recorder.report()
        return events(self.run)

    def span(self, name: str) -> tuple[float, float]:
        """When the only event of this name began and ended, on the test's clock."""
        [found] = named(self.events(), name)
        begin = (found["ts"] - 1e6 * 999_900) / 1e6
        return begin, begin + found["dur"] / 1e6
