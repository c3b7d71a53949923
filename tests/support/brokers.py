"""Message brokers, started by tests: real servers, with what they store on disk."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REQUIRED = "DDMLP_SOURCES"  # if this is set, as in CI, tests of brokers fail where a server is missing
SECONDS = 30.0
Sent = tuple[bytes, bytes | None]  # a payload, and a label beside it


def raw(numbers: Sequence[int]) -> list[Sent]:
    """Messages of rows whose pixels and labels give their number, like those of tests.support.streams."""
    return [(bytes([number % 256]) * 4, str(number % 10).encode()) for number in numbers]


def images(pixels: np.ndarray, labels: np.ndarray) -> list[Sent]:
    """A message with raw pixels for each image."""
    return [(image.tobytes(), str(label).encode()) for image, label in zip(pixels, labels, strict=True)]


class Server:
    """A server in a folder, on a port of its own. It may be killed, and started again with what it has stored."""

    program: str
    install: str

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.port, self.settings = folder, free_port(), settings
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether the server is ready."""
        raise NotImplementedError

    def uri(self, stream: str, **options: str) -> str:
        raise NotImplementedError

    def send(self, stream: str, messages: Sequence[Sent]) -> None:
        raise NotImplementedError

    def count(self, stream: str) -> int:
        """The number of messages that the server has stored."""
        raise NotImplementedError

    def errors(self) -> tuple[type[Exception], ...]:
        """What its client raises if the server is gone."""
        raise NotImplementedError

    def trim(self, stream: str, keep: int) -> None:
        """Let the server drop all but the newest messages."""
        raise NotImplementedError

    def remove(self, stream: str) -> None:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(self.answers, self._process)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Redis(Server):
    """A Redis server that syncs each entry to disk."""

    program, install = "redis-server", "redis-server"

    def command(self) -> list[str]:
        given = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": ""}
        given |= {"appendonly": "yes", "appendfsync": "always", **self.settings}
        return [self.program, *(word for name, value in given.items() for word in (f"--{name}", value))]

    @contextmanager
    def client(self) -> Iterator[Any]:
        import redis

        never = redis.retry.Retry(redis.backoff.NoBackoff(), 0)  # by default it sends messages again
        password = self.settings.get("requirepass")
        with redis.Redis(port=self.port, protocol=2, password=password, retry=never) as client:
            yield client

    def answers(self) -> bool:
        import redis

        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def uri(self, stream: str, **options: str) -> str:
        return (
            f"redis://127.0.0.1:{self.port}/{stream}?{'&'.join(f'{name}={value}' for name, value in options.items())}"
        )

    def send(self, stream: str, messages: Sequence[Sent]) -> None:
        with self.client() as client, client.pipeline(transaction=False) as pipe:
            for payload, label in messages:
                pipe.xadd(stream, {"payload": payload, **({} if label is None else {"label": label})})
            pipe.execute()

    def count(self, stream: str) -> int:
        with self.client() as client:
            return int(client.xlen(stream))

    def errors(self) -> tuple[type[Exception], ...]:
        import redis

        return (redis.RedisError,)

    def trim(self, stream: str, keep: int) -> None:
        with self.client() as client:
            client.xtrim(stream, maxlen=keep, approximate=False)

    def remove(self, stream: str) -> None:
        with self.client() as client:
            client.delete(stream)


SERVERS: dict[str, Callable[..., Server]] = {"redis": Redis}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_until(true: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, f"the server does not answer within {SECONDS:g} s"
        time.sleep(0.02)


@contextmanager
def running(kind: str, folder: Path, **settings: str) -> Iterator[Server]:
    """Run a server; the test is skipped if this machine does not have it."""
    server = SERVERS[kind](folder, **settings)
    if not shutil.which(server.program):
        assert REQUIRED not in os.environ, f"{REQUIRED} is set, and there is no {server.program}"
        pytest.skip(f"no {server.program} here: apt-get install {server.install}")
    try:
        server.start()
        yield server
    finally:
        server.kill()
