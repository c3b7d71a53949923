"""A run of `ddmlp train`, with real processes, and its position while it trains."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.support.hosts import Hosts

TAIL = 1 << 14  # bytes at the end of the metrics, more than a line has
SECONDS = 120.0  # until a run makes progress, or has ended


class CommandRun:
    """A command that trains, in its own process group, and the folder of its run."""

    def __init__(self, process: "subprocess.Popen[str]", run: Path, errors: IO[str]) -> None:
        self.process, self.run, self._errors = process, run, errors
        self._last = self._line()

    def mark(self) -> tuple[float, int]:
        """Wait until the run records something; the time, and its position."""
        deadline = time.monotonic() + SECONDS
        while (line := self._line()) == self._last:
            assert self.process.poll() is None, self.errors()
            assert time.monotonic() < deadline, f"no progress for {SECONDS:g} s after {line!r}: {self.errors()}"
            time.sleep(0.005)
        self._last = line
        return time.monotonic(), int(json.loads(line)["step"])

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and wait for the end; returns the exit status."""
        os.killpg(self.process.pid, number)
        return self.process.wait(SECONDS)

    def errors(self) -> str:
        """The error output so far."""
        self._errors.seek(0)
        return self._errors.read()

    def _line(self) -> bytes:
        """The last whole line of the metrics; none if there are none yet."""
        try:
            with (self.run / "metrics.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return b""
        return lines[-2] if len(lines) > 1 else b""


@contextmanager
def training(run: Path, words: Sequence[object], hosts: Hosts | None = None) -> Iterator[CommandRun]:
    """Train on this machine, or on the first of several hosts; the command is killed after the block if it still runs.

    words: those of the command, except for the run."""
    command = ["-m", "ddmlp.train", "--run", run, "--quiet", "--no-report", *words]
    with tempfile.TemporaryFile("w+") as errors:
        options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": errors}
        if hosts:
            process = hosts.on(1, ["python", *command], **options)
        else:
            clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
            there = [sys.executable, *map(str, command)]
            process = subprocess.Popen(there, env=clean, text=True, start_new_session=True, **options)
        with process:
            try:
                yield CommandRun(process, run, errors)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
