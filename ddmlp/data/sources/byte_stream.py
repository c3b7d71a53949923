"""Streams of bytes: standard input and TCP connections. Each carries Arrow IPC streams."""

import os
import select
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import numpy as np

from ddmlp.data.sources import Rows, unknown_source
from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.data.sources.arrow_messages import END_OF_FILE
from ddmlp.errors import ConfigError, DatasetError

CONNECT_SECONDS = 10.0
ENOUGH_TO_TELL = 8  # bytes, of what comes next: a shorter stream is none


class ByteStream:
    """The bytes of a stream, and the rows in them: a `Source`.

    Parameters
    ----------
    name : str
        What messages call it.
    descriptor : int
        The file descriptor to read from.
    connection : socket, optional
        To close with the source.
    """

    def __init__(self, name: str, descriptor: int, connection: socket.socket | None = None) -> None:
        self.name = name
        self.lost: str | None = None
        self.stopped = False
        self._idle: Callable[[], None] = lambda: None
        self._seconds = 1.0
        self._descriptor, self._connection = descriptor, connection
        self._ahead = b""  # what `peek` has taken
        self._woken, self._waker = socket.socketpair()
        self._poll = select.poll()
        for each in (descriptor, self._woken):
            self._poll.register(each, select.POLLIN)

    def batches(self, classes: int, idle: Callable[[], None], seconds: float) -> Iterator[Rows]:
        """The rows of the stream, a record batch at a time; see `Source`."""
        self._idle, self._seconds = idle, seconds
        return read_stream(self, f"the stream from {self.name}", classes)

    def read(self, size: int) -> memoryview:
        """`size` bytes, or fewer: then `lost` says why."""
        # Memory that is not touched before bytes come: a size that is not true costs nothing.
        buffer = np.empty(size, np.uint8).data
        ahead, self._ahead = self._ahead[:size], self._ahead[size:]
        buffer[: len(ahead)] = ahead
        return buffer[: self._fill(buffer, len(ahead), size)]

    def peek(self, size: int) -> bytes:
        """The next bytes, which later reads give again: those that are there, `size` at most, but no less than
        ENOUGH_TO_TELL unless `lost` says why."""
        buffer = memoryview(bytearray(size))
        done = len(self._ahead)
        buffer[:done] = self._ahead
        self._ahead = bytes(buffer[: self._fill(buffer, done, ENOUGH_TO_TELL)])
        return self._ahead

    def _fill(self, buffer: memoryview, done: int, enough: int) -> int:
        """Fill `buffer`, which has `done` bytes, with `enough` or more; returns how many it has then."""
        while done < enough and self._wait():
            try:
                got = os.readv(self._descriptor, [buffer[done:]])
            except OSError as error:
                self.lost = error.strerror
                break
            if got == 0:
                self.lost = END_OF_FILE
                break
            done += got
        return done

    def stop(self) -> None:
        """Let a read that waits, and every later one, end at once; from any thread."""
        self.stopped = True
        self._waker.close()  # which the other end of the pair notices

    def close(self) -> None:
        """Close what was opened for the source; standard input stays open."""
        for each in (self._connection, self._woken, self._waker):
            if each is not None:
                each.close()

    def _wait(self) -> bool:
        """Wait until there is something to read; False if `stop` was called."""
        while True:
            self._idle()
            ready = {descriptor for descriptor, _ in self._poll.poll(self._seconds * 1000)}
            if self._woken.fileno() in ready:
                self.lost = "stopped"
                return False
            if ready:
                return True


def open_standard_input(_uri: str) -> ByteStream:
    """Standard input; raises ConfigError if it is a terminal or closed."""
    try:
        terminal = os.isatty(0) or not os.fstat(0)
    except OSError:
        raise ConfigError("standard input is closed; pipe an Arrow IPC stream into it") from None
    if terminal:
        raise ConfigError("standard input is a terminal; pipe an Arrow IPC stream into it")
    return ByteStream("standard input", 0)


def connect(uri: str) -> ByteStream:
    """A connection to tcp://HOST:PORT (an IPv6 address in brackets).

    Raises ConfigError for another URI, DatasetError if no server answers.
    """
    try:
        connection = socket.create_connection(_address(uri), CONNECT_SECONDS)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DatasetError(
            f"cannot connect to {uri}: {why}; expected a server there that sends an Arrow IPC stream"
        ) from error
    connection.settimeout(None)
    # A machine at the other end that is gone without a word is found out.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return ByteStream(uri, connection.fileno(), connection)


def _address(uri: str) -> tuple[str, int]:
    try:
        parts = urlsplit(uri)
        if parts.hostname and parts.port and uri.endswith(f":{parts.port}"):
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise unknown_source(uri)
