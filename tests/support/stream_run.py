"""A run on the stream of a broker: the command, which is started again as a user would."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ddmlp.data.manifest import NAME, Manifest
from tests.support.training import COMMAND, result

SECONDS = 120.0  # for all of a run, unless another time is given, and for its last commands
IDLE_SECONDS = 2.0  # after the last row, at first


class StreamRun:
    """The command `ddmlp train` on a stream.

    Parameters
    ----------
    run : Path
        The folder of the run.
    uri : str
        The stream.
    settings : sequence of str
        Flags of a new run.
    reading : sequence of str
        Flags of each command that reads the stream.
    workers : int
        The number of workers on Ray.
    before : sequence of str
        Words before the command.
    seconds : float
        How long all may take until the end of `training`.
    """

    def __init__(
        self,
        run: Path,
        uri: str,
        settings: Sequence[str],
        reading: Sequence[str] = (),
        *,
        workers: int = 0,
        before: Sequence[str] = (),
        seconds: float = SECONDS,
    ) -> None:
        self._run, self._data, self._settings = run, ["--data", uri, *reading], settings
        words = [*before, *COMMAND, "--run", run, "--workers", workers, "--checkpoint-every", 3, "--quiet"]
        self._words = [*map(str, words)]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self._seconds, self._deadline, self._recorded = seconds, 0.0, 0
        self._errors = run.with_suffix(".errors")

    @property
    def published(self) -> int:
        """The rows that the run has published."""
        path = self._run / "data" / "train"
        return Manifest.read(path).rows if (path / NAME).exists() else 0

    @property
    def trains(self) -> bool:
        """Whether the command has begun to train."""
        return self._records() > self._recorded

    @contextmanager
    def training(self) -> Iterator[None]:
        """Train; the command is killed after the block, because it would wait for more rows."""
        self._deadline = time.monotonic() + self._seconds
        self.start()
        try:
            yield
        finally:
            self.kill()

    def start(self) -> None:
        """Begin the run, or continue it."""
        settings = self._settings
        if (self._run / "config.json").exists():
            settings = ["--resume"]
        else:
            with suppress(FileNotFoundError):
                shutil.rmtree(self._run)  # of one that was killed before it began
        self._recorded = self._records()
        command = [*self._words, *self._data, *settings]
        with self._errors.open("a") as errors:
            streams = {"stdout": subprocess.DEVNULL, "stderr": errors}
            self.process = subprocess.Popen(command, env=self._environment, text=True, **streams)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait_until(self, true: Callable[[], object], what: str) -> None:
        """Wait until something is true, while the command runs. what: that, in words."""
        while not true():
            assert self.process.poll() is None, f"{what}: {self.errors()}"
            assert time.monotonic() < self._deadline, f"after {self.published} rows, within {self._seconds:g} s: {what}"
            time.sleep(0.01)

    def wait_for(self, rows: int) -> None:
        """Wait until so many rows are published."""
        self.wait_until(lambda: self.published >= rows, f"{rows} rows")

    def errors(self) -> str:
        """The error output of all commands so far."""
        return self._errors.read_text()

    def _records(self) -> int:
        """The bytes of the metrics."""
        path = self._run / "metrics.jsonl"
        return path.stat().st_size if path.exists() else 0

    def finish(self, rows: int) -> dict[str, Any]:
        """Continue to the end of the stream, which has so many rows, and return the result."""
        idle, deadline = IDLE_SECONDS, time.monotonic() + SECONDS
        # The last rows may be too few for a publication, until the command ends.
        while self.published < rows:
            assert time.monotonic() < deadline, f"{self.published} rows, expected {rows}"
            self._complete(*self._data, "--idle-timeout", f"{idle:g}")
            idle *= 2  # a busy broker may take longer
        self._complete("--end", "--workers", "0")
        return result(self._run)

    def _complete(self, *more: str) -> None:
        """Continue the run until the command ends."""
        command = [*self._words, "--resume", *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=self._seconds, env=self._environment)
        assert done.returncode == 0, done.stderr
