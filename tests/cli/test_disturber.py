"""Workers that are killed and stopped on purpose: real processes with the title of workers, and a clock that is set."""

import logging
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ddmlp.cli.disturber import STOPPED_SECONDS, TITLE, Disturber, WorkerProcesses, is_worker
from ddmlp.runs.events import Lost
from tests.chaos.strike import state_of
from tests.support.events import progress


class Show:
    """A disturber of two workers, which trains for 100 s and strikes every 10 s, with its clock and what it says."""

    def __init__(self, stack: ExitStack) -> None:
        self.said: list[str] = []
        self.now = 50.0
        self.stack = stack
        self.found = WorkerProcesses(self.said.append)
        self.disturber = Disturber(self.found, 2, 100.0, 10.0, self.said.append, clock=lambda: self.now)
        self.workers = [self.start(worker) for worker in range(2)]

    def start(self, worker: int, title: str = TITLE) -> "subprocess.Popen[bytes]":
        """Start a process with a title, and log it as the worker group does."""
        process = self.stack.enter_context(subprocess.Popen([title, "60"], executable="/bin/sleep"))
        self.stack.callback(process.kill)
        text = "worker %d started: process %d, log worker-%d.log"
        self.found.handle(logging.LogRecord("ddmlp", logging.INFO, "", 0, text, (worker, process.pid, worker), None))
        return process

    def step(self, seconds: float, workers: int = 2, reissued: int = 0) -> None:
        self.now += seconds
        self.disturber.on_event(progress(1, workers=workers, reissued=reissued))


def soon(process: "subprocess.Popen[bytes]", state: str) -> None:
    """Wait until a process has this state; a signal takes a moment."""
    deadline = time.monotonic() + 20
    while state_of(process.pid) != state:
        assert time.monotonic() < deadline, state_of(process.pid)


@pytest.fixture
def show() -> Iterator[Show]:
    with ExitStack() as stack:
        yield Show(stack)


def test_simple(show):
    """One is killed, and, once it is replaced, the next one is stopped for a while; at the end the run is stopped."""
    first, second = show.workers
    show.step(0)
    show.step(9.9)
    assert first.poll() is None
    show.step(0.1)
    assert first.wait(20) == -signal.SIGKILL
    show.disturber.on_event(Lost(step=1, worker=0, host="here", cause="exited", reason="it ended"))
    third = show.start(2)
    show.step(10)
    soon(third, "T")
    show.step(STOPPED_SECONDS / 2)
    assert state_of(third.pid) == "T"
    show.step(STOPPED_SECONDS / 2, reissued=3)
    soon(third, "S")
    assert second.poll() is None
    assert (show.disturber.killed, show.disturber.stopped_workers) == ([0], [2])
    assert "3 units" in show.said[-1]
    assert not show.disturber.stopped
    show.step(100)
    assert show.disturber.stopped


def test_missing_worker(show):
    """No worker is struck while another one is missing; nor before all are there."""
    show.step(1_000, workers=1)
    show.step(1_000, workers=1)
    assert [each.poll() for each in show.workers] == [None, None]
    show.step(0)
    show.step(10, workers=1)
    assert [each.poll() for each in show.workers] == [None, None]
    show.step(0)
    assert show.workers[0].wait(20) == -signal.SIGKILL


def test_stopped_at_the_end(show):
    """A run that ends, for example by Ctrl-C, leaves no stopped process."""
    show.step(0)
    show.step(10)
    show.workers[0].wait(20)
    stopped = show.start(2)
    show.step(10)
    soon(stopped, "T")
    show.disturber.close()
    soon(stopped, "S")
    show.disturber.close()


def test_only_workers(show):
    """The number of a worker's process may have gone to another program."""
    other = show.start(0, "sleep")
    worker = show.start(1)
    assert is_worker(worker.pid)
    assert not is_worker(other.pid)
    show.step(0)
    show.step(10)
    assert worker.wait(20) == -signal.SIGKILL
    assert other.poll() is None
    worker.wait()
    assert not is_worker(worker.pid)
