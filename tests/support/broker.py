"""A message broker, started by tests: a real server, with what it stores on disk."""

import random
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

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

    scheme: str  # of a URI
    program: str
    install: str
    lazy = False  # whether it acknowledges messages before they are on disk
    spare = 0  # messages that were read, and must be kept so that it is known that none after them was dropped

    def __init__(self, folder: Path, host: str = "127.0.0.1", **settings: str) -> None:
        """host: the address to listen on."""
        self.folder, self.host, self.port, self.settings = folder, host, free_port(), settings
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether the server is ready."""
        raise NotImplementedError

    def uri(self, stream: str, **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"{self.scheme}://{self.host}:{self.port}/{stream}?{query}"

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

    def settle(self) -> None:
        """Let the server have on disk what it has acknowledged; it may end for that."""

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def free_port() -> int:
    """A port that no connection is given until the server takes it: below those that the kernel chooses."""
    while True:
        try:
            with socket.create_server(("127.0.0.1", port := random.randrange(15_000, 32_000))):
                return port
        except OSError:
            continue


def wait_until(true: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, f"the server does not answer within {SECONDS:g} s"
        time.sleep(0.02)
