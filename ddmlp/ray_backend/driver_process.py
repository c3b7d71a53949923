"""The trainer on Ray as `fit` uses it: the driver is a child process, whose death, like Ray's, is an error here."""

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from ddmlp.errors import ClusterError
from ddmlp.ray_backend.choice import choose
from ddmlp.ray_backend.probe import RayProbe
from ddmlp.runs.log_files import log_level
from ddmlp.training.job import Job
from ddmlp.training.report import Report

log = logging.getLogger(__name__)

BOOT = """import sys
descriptor, parent, __file__, *sys.path[:] = sys.argv[1:]
from ddmlp.ray_backend.driver import main
main(int(descriptor), int(parent), __file__)"""
STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
LOG_BYTES = 1 << 16  # at the end of the driver's output, which are searched for its last error
# The line in which Ray's C++ says why it ends the process. Python prints many more lines after it.
RAY_ERROR = re.compile(r"\[[-\d]+ [\d:,]+ [EFC] \d+ \d+\] (.*)")
POLL_SECONDS = 0.1  # between checks for signals and of Ray


class DriverProcess:
    """Starts the driver, and forwards the methods of a trainer to its `RayTrainer`.

    Signals that ask to stop are blocked in the driver and in all processes that it starts, including a local Ray. A
    terminal, systemd or Slurm may send them to all processes at once, and without Ray no checkpoint could be written.
    """

    def __init__(
        self, job: Job, *, address: str | None, dashboard: bool, note: Callable[[str], None], stopping: Sequence[int]
    ) -> None:
        """Start the driver. Raises ClusterError, and the error of an actor.

        address: see `choose`; dashboard: see `connect`; note: called with lines for the user; stopping: signals that
        ask to stop are appended to it.
        """
        choice = choose(address)  # in this process, which may be connected to a Ray
        job = replace(job, log_level=log_level())
        self._timeouts, self._note, self._stopping = job.timeouts, note, stopping
        self._probe: RayProbe | None = None
        self._asked_to_stop: float | None = None  # when
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - what Ray prints, until `close`
        self._connection, theirs = Pipe()
        words = [str(theirs.fileno()), str(os.getpid()), sys.argv[0], *sys.path]
        with theirs, _blocked(STOP_SIGNALS):
            self._process = subprocess.Popen(
                [sys.executable, "-c", BOOT, *words],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        log.info("started the driver of Ray, process %d", self._process.pid)
        try:
            self._connection.send((job, choice, dashboard))
            self.step: int = self._answer(job.timeouts.start + job.workers * job.timeouts.worker_start)
        except BaseException:
            self.close()
            raise

    def advance(self, seconds: float) -> Report:
        """See `Trainer.advance`. Raises KeyboardInterrupt if it is asked to stop and Ray does not answer in time."""
        report: Report = self._ask("advance", seconds)
        self.step = report.step
        return report

    def end(self) -> Report:
        """See `Trainer.end`."""
        report: Report = self._ask("end", stoppable=False)
        return report

    def checkpoint(self) -> Path:
        """See `Trainer.checkpoint`."""
        folder: Path = self._ask("checkpoint", stoppable=False)
        return folder

    def close(self) -> None:
        """End the driver and all processes that it has started, whatever state they are in."""
        if self._connection.closed:
            return
        try:
            self._connection.send(None)
            self._answer(self._timeouts.close)
        except (ClusterError, OSError, KeyboardInterrupt):
            pass  # it is killed below
        finally:
            self._end()

    def _ask(self, method: str, *arguments: Any, stoppable: bool = True) -> Any:
        """Call a method of the driver's trainer; returns its answer, or raises its error."""
        if self._connection.closed:
            raise ClusterError("the driver of Ray has ended")
        with suppress(OSError):  # the driver has ended; its last message may have the reason
            self._connection.send((method, arguments))
        return self._answer(self._timeouts.driver, stoppable=stoppable)

    def _answer(self, seconds: float, *, stoppable: bool = True) -> Any:
        """The driver's next answer. Every wait for Ray is here, and bounded."""
        deadline = time.monotonic() + seconds
        while True:
            if self._connection.poll(POLL_SECONDS):
                try:
                    kind, value = self._connection.recv()
                except (EOFError, OSError):
                    raise self._lost(self._why_ended()) from None
                match kind:
                    case "note":
                        self._note(value)
                    case "log":
                        logging.getLogger(value.name).handle(value)
                    case "cluster":
                        bounds = self._timeouts
                        self._probe = RayProbe(*value, patience=bounds.ray, unreachable=bounds.unreachable)
                    case "answer":
                        return value
                    case "error":
                        if isinstance(value, ClusterError) and (missing := self._missing()):
                            raise self._lost(missing)
                        raise value
            elif self._probe and (missing := self._probe.lost()):
                raise self._lost(missing)
            elif stoppable and self._stop_is_overdue():
                self._end()
                raise KeyboardInterrupt
            if time.monotonic() > deadline:
                raise self._lost(f"the driver of Ray has not answered for {seconds:g} s")

    def _why_ended(self) -> str:
        """Why the driver, whose connection is closed, has ended."""
        if self._was_killed():
            return "the driver of Ray was killed (SIGKILL), as the system does if memory is short"
        return self._missing() or f"the driver of Ray has ended{self._last_words()}"

    def _was_killed(self) -> bool:
        """Whether the driver ended by SIGKILL. It is not reaped: its id must stay valid until `_end`."""
        if not hasattr(os, "waitid"):  # macOS, before Python 3.13
            return False
        peek = os.WEXITED | os.WNOHANG | os.WNOWAIT
        deadline = time.monotonic() + POLL_SECONDS  # it may still be ending
        while (status := os.waitid(os.P_PID, self._process.pid, peek)) is None and time.monotonic() < deadline:
            time.sleep(0.001)
        return status is not None and (status.si_code, status.si_status) == (os.CLD_KILLED, signal.SIGKILL)

    def _last_words(self) -> str:
        """The last error of Ray that the driver has printed, or the last line, to append to a message."""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LOG_BYTES))
        lines = self._log.read().decode(errors="replace").split("\n")
        words = [printable for line in lines if (printable := "".join(filter(str.isprintable, line)).strip())]
        words = [error[1] for line in words if (error := RAY_ERROR.match(line))] or words
        return f"; it printed last: {words[-1]}" if words else ""

    def _missing(self) -> str | None:
        """The process of Ray that does not answer, in words, or None."""
        return self._probe.missing() if self._probe else None

    def _stop_is_overdue(self) -> bool:
        """Whether the driver has not answered for `Timeouts.stop` seconds since the first signal."""
        if self._stopping and self._asked_to_stop is None:
            self._asked_to_stop = time.monotonic()
        return self._asked_to_stop is not None and time.monotonic() > self._asked_to_stop + self._timeouts.stop

    def _lost(self, what: str) -> ClusterError:
        """End the driver; returns the error to raise."""
        log.error("%s", what)
        self._end()
        return ClusterError(what)

    def _end(self) -> None:
        """Kill the driver's process group, which includes a Ray that it started."""
        if not self._connection.closed:
            os.killpg(self._process.pid, signal.SIGKILL)  # a child keeps its id until it is waited for
            self._process.wait()
            self._connection.close()
            self._log.close()
            if self._probe:
                self._probe.close()


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """Block signals in the processes that this thread starts inside the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
