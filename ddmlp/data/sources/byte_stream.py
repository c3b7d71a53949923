"""Arrow IPC streams over standard input and TCP connections."""

import os
import select
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import numpy as np

from ddmlp.data.sources import Rows
from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.data.sources.arrow_messages import END_OF_FILE
from ddmlp.data.sources.registry import unknown_stream
from ddmlp.errors import ConfigError, DatasetError

CONNECT_SECONDS = 10.0
MIN_PEEK = 8  # bytes; enough to tell whether a stream begins


class ByteStream:
    """A stream of bytes from a file descriptor, and the rows in it: a `Source`.

    Parameters
    ----------
    name : str
        The name of the stream in messages.
    descriptor : int
        The file descriptor to read from.
    connection : socket, optional
        The socket of the descriptor, to close with the source.
    """

    def __init__(self, name: str, descriptor: int, connection: socket.socket | None = None) -> None:
        self.name = name
        self.lost: str | None = None
        self.stopped = False
        self._idle: Callable[[], None] = lambda: None
        self._seconds = 1.0
        self._descriptor, self._connection = descriptor, connection
        self._peeked = b""
        self._woken, self._waker = socket.socketpair()
        self._poll = select.poll()
        for each in (descriptor, self._woken):
            self._poll.register(each, select.POLLIN)

    def batches(self, classes: int, idle: Callable[[], None], seconds: float) -> Iterator[Rows]:
        """Yield the rows of the stream, one record batch at a time; see `Source`."""
        self._idle, self._seconds = idle, seconds
        return read_stream(self, f"the stream from {self.name}", classes)

    def read(self, size: int) -> memoryview:
        """Return `size` bytes, or fewer if the stream ends; `lost` is then the reason."""
        # The operating system allocates pages when bytes arrive, so a false size costs no memory.
        buffer = np.empty(size, np.uint8).data
        peeked, self._peeked = self._peeked[:size], self._peeked[size:]
        buffer[: len(peeked)] = peeked
        return buffer[: self._fill(buffer, len(peeked), size)]

    def peek(self, size: int) -> bytes:
        """Return the available bytes, up to `size`, without consuming them; fewer than MIN_PEEK only if the stream
        ends."""
        buffer = memoryview(bytearray(size))
        done = len(self._peeked)
        buffer[:done] = self._peeked
        self._peeked = bytes(buffer[: self._fill(buffer, done, MIN_PEEK)])
        return self._peeked

    def _fill(self, buffer: memoryview, done: int, enough: int) -> int:
        """Fill `buffer`, which has `done` bytes, up to at least `enough` bytes; return how many it has then."""
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
        """Make the current read and all later ones end at once. May be called from any thread."""
        self.stopped = True
        self._waker.close()  # makes the other end of the pair readable

    def close(self) -> None:
        """Close the connection; standard input stays open."""
        for each in (self._connection, self._woken, self._waker):
            if each is not None:
                each.close()

    def _wait(self) -> bool:
        """Wait until bytes can be read; return False if `stop` was called."""
        while True:
            self._idle()
            ready = {descriptor for descriptor, _ in self._poll.poll(self._seconds * 1000)}
            if self._woken.fileno() in ready:
                self.lost = "stopped"
                return False
            if ready:
                return True


def open_standard_input(_uri: str) -> ByteStream:
    """Open standard input; raises ConfigError if it is a terminal or closed."""
    try:
        terminal = os.isatty(0) or not os.fstat(0)
    except OSError:
        raise ConfigError("standard input is closed; pipe an Arrow IPC stream into it") from None
    if terminal:
        raise ConfigError("standard input is a terminal; pipe an Arrow IPC stream into it")
    return ByteStream("standard input", 0)


def connect(uri: str) -> ByteStream:
    """Connect to tcp://HOST:PORT (an IPv6 address in brackets).

    Raises
    ------
    ConfigError
        The URI has another form.
    DatasetError
        The connection failed.
    """
    try:
        connection = socket.create_connection(_address(uri), CONNECT_SECONDS)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DatasetError(
            f"cannot connect to {uri}: {why}; expected a server that sends an Arrow IPC stream"
        ) from error
    connection.settimeout(None)
    # Detects a peer that disappeared without closing the connection.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return ByteStream(uri, connection.fileno(), connection)


def _address(uri: str) -> tuple[str, int]:
    try:
        parts = urlsplit(uri)
        if parts.hostname and parts.port and uri.endswith(f":{parts.port}"):
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise unknown_stream(uri)
