"""Runs on the stream of a broker whose processes are killed while the rows flow."""

import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ddmlp.data.manifest import NAME, Manifest
from tests.support.broker import Sent, Server
from tests.support.training import COMMAND, result

SECONDS = 120.0  # timeout of a run with all its kills
CHUNK = 50  # messages that the producer sends at a time


class Producer:
    """Sends messages a few at a time, in a thread; what the server has stored is not sent again."""

    def __init__(self, server: Server, stream: str, messages: Sequence[Sent], pause: float) -> None:
        self.error: BaseException | None = None
        self._server, self._stream, self._messages, self._pause = server, stream, messages, pause
        self._stop = threading.Event()
        self.lock = threading.Lock()  # while it is held, nothing is sent
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pause):
                try:
                    with self.lock:
                        sent = self._server.count(self._stream)
                        if sent == len(self._messages):
                            return
                        self._server.send(self._stream, self._messages[sent : sent + CHUNK])
                except self._server.errors():  # it was killed
                    continue
        except BaseException as error:
            self.error = error

    @contextmanager
    def sending(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(SECONDS)
        if self.error is not None:
            raise self.error


def published(run: Path) -> int:
    """The rows that the run has published."""
    path = run / "data" / "train"
    return Manifest.read(path).rows if (path / NAME).exists() else 0


def train_killed(
    server: Server,
    stream: str,
    messages: Sequence[Sent],
    run: Path,
    victims: Sequence[str],
    flags: Sequence[str],
    seed: int,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Train on a stream, kill each of the victims at a random moment, and return the result.

    A victim is "broker" or "run", all processes of the run. A run is continued by the command, as a user would.
    """
    draw, uri, deadline = random.Random(seed), server.uri(stream, format="raw"), time.monotonic() + seconds
    # By the number of rows that are published: some before the first, some while they arrive.
    moments = sorted((draw.randrange(len(messages) * 9 // 10), victim) for victim in victims)
    words = [*COMMAND, "--run", run, "--checkpoint-every", "3", "--quiet"]
    pause = 0.01
    server.send(stream, messages[:1])  # the stream exists
    producer = Producer(server, stream, messages, pause)
    with producer.sending():
        process = start(words, uri, run, flags)
        try:
            for moment, victim in moments:
                while published(run) < moment:
                    assert process.poll() is None, process.communicate()[1]
                    assert time.monotonic() < deadline, f"{published(run)} rows, expected {moment}"
                    time.sleep(draw.uniform(0.0, 0.02))
                if victim == "broker":
                    with producer.lock if server.lazy else nullcontext():
                        stored = server.count(stream)
                        server.settle()
                        server.kill()
                    time.sleep(draw.uniform(0.0, 0.2))
                    server.start()
                    assert server.count(stream) >= stored, "the server has lost messages"
                else:
                    time.sleep(draw.uniform(0.0, 0.5))
                    assert process.poll() is None, process.communicate()[1]
                    process.kill()
                    process.communicate()
                    process = start(words, uri, run, flags)
            while (count := server.count(stream)) < len(messages):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline, f"{count} messages, expected {len(messages)}"
                time.sleep(0.05)
        finally:
            process.kill()  # it would wait for more rows
            process.wait()
            assert process.stderr
            process.stderr.close()
    # The last rows may be too few for a publication, until the run ends.
    for last in (["--data", uri, "--idle-timeout", "2"], ["--end"]):
        command = [*map(str, words), "--resume", *last]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
    return result(run)


def start(words: Sequence[object], uri: str, run: Path, flags: Sequence[str]) -> "subprocess.Popen[str]":
    """Begin or continue a run."""
    if (run / "config.json").exists():
        flags = ["--resume"]
    else:
        with suppress(FileNotFoundError):
            shutil.rmtree(run)  # of one that was killed before it began
    command = [*map(str, words), "--data", uri, *flags]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
