"""Kills and stops workers of a run on purpose, for a demonstration."""

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from ddmlp.api.callback import Callback
from ddmlp.runs.events import Event, Lost, Progress

STOPPED_SECONDS = 2.0  # of a straggler: long enough to be overdue, and too short to count as unresponsive
STARTED = re.compile(r"worker (\d+) started: process (\d+)\b")
TITLE = "ray::WorkerActor"  # of the process of a worker


class WorkerProcesses(logging.Handler):
    """The processes of a run's workers by their numbers, as its log tells them."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """say: called with a line for the user."""
        super().__init__()
        self._say = say
        self.found: dict[int, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if found := STARTED.match(record.getMessage()):
            worker, process = map(int, found.groups())
            self.found[worker] = process
            self._say(f"worker {worker} starts: process {process}")


class Disturber(Callback):
    """Strikes a worker every `every` seconds: in turn, one is killed (SIGKILL), one stopped for a while (SIGSTOP).

    It strikes only when all workers are connected, and stops the run after `seconds` of that. So the number of its
    strikes is bounded, and the run recovers from each one.

    Attributes
    ----------
    killed, stopped_workers
        Numbers of the workers that were struck.
    """

    def __init__(
        self,
        processes: WorkerProcesses,
        workers: int,
        seconds: float,
        every: float | None,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """workers: of the run; every: None to strike none; say: called with lines for the user."""
        self._clock = clock
        self._processes, self._workers, self._seconds, self._every, self._say = processes, workers, seconds, every, say
        self.killed: list[int] = []
        self.stopped_workers: list[int] = []
        self._end = self._due = 0.0  # when to stop the run, and when to strike next; 0 before all workers are connected
        self._straggler: tuple[int, int, float] | None = None  # worker, process, and until when it is stopped
        self._reissued = 0

    def on_event(self, event: Event) -> None:
        super().on_event(event)
        if isinstance(event, Lost):
            self._processes.found.pop(event.worker, None)
            self._say(f"worker {event.worker} {event.cause}; its units go to others, and a replacement starts")

    def on_step(self, progress: Progress) -> None:
        now = self._clock()
        if progress.workers == self._workers and not self._end:
            self._end, self._due = now + self._seconds, now + (self._every or self._seconds)
        if self._straggler:
            if now >= self._straggler[2]:
                self._continue(f"; {progress.reissued - self._reissued} units were given to other workers")
        elif self._end and now >= self._end:
            self.stop()
        elif progress.workers == self._workers and self._every and now >= self._due:
            self._reissued, self._due = progress.reissued, now + self._every
            self._strike(now)

    def close(self) -> None:
        """Let a stopped worker continue: a run cannot end it otherwise."""
        if self._straggler:
            self._continue("")

    def _strike(self, now: float) -> None:
        """Strike a worker, another one each time."""
        there = sorted(worker for worker, process in self._processes.found.items() if is_worker(process))
        if not there:
            return
        count = len(self.killed) + len(self.stopped_workers)
        worker = there[count % len(there)]
        process = self._processes.found[worker]
        kill = count % 2 == 0
        try:
            os.kill(process, signal.SIGKILL if kill else signal.SIGSTOP)
        except ProcessLookupError:
            return
        if kill:
            self.killed.append(worker)
            self._say(f"worker {worker} (process {process}) is killed: SIGKILL")
        else:
            self.stopped_workers.append(worker)
            self._straggler = worker, process, now + STOPPED_SECONDS
            self._say(f"worker {worker} (process {process}) is stopped for {STOPPED_SECONDS:g} s: SIGSTOP")

    def _continue(self, more: str) -> None:
        assert self._straggler is not None
        worker, process, _ = self._straggler
        self._straggler = None
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
        self._say(f"worker {worker} continues: SIGCONT{more}")


def is_worker(process: int) -> bool:
    """Whether a process is still a worker: its number may have gone to another program."""
    done = subprocess.run(["ps", "-o", "command=", "-p", str(process)], capture_output=True, text=True, check=False)
    return done.stdout.startswith(TITLE)
