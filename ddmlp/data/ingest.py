"""The spool: a stream of rows, from standard input or a socket, written into a dataset while it is read from there.

What is trained on can so be replayed, resumed and audited, though the stream itself is gone.
"""

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.sources.arrow_ipc import Rows, read_stream
from ddmlp.data.writer import SHARD_ROWS, DatasetWriter
from ddmlp.errors import ConfigError, DatasetError

PUBLISH_SECONDS = 1.0  # between publications, so that the shards of a fast stream are not needlessly small
CONNECT_SECONDS = 10.0
STOP_SECONDS = 30.0  # for what has been read to be written
MESSAGE_BYTES = 1 << 30  # the most of one read: what a message says of its size is not believed without a bound


class Source:
    """The bytes of a stream: a file descriptor that is read in one thread, until another calls `stop`.

    lost: why no more bytes came, though more were asked for; None as long as they come.
    idle: called before each wait for bytes, and every PUBLISH_SECONDS of a longer one.
    """

    def __init__(self, name: str, descriptor: int, connection: socket.socket | None = None) -> None:
        self.name = name
        self.lost: str | None = None
        self.stopped = self.closed = False
        self.idle: Callable[[], None] = lambda: None
        self._descriptor, self._connection = descriptor, connection
        self._woken, self._waker = socket.socketpair()
        self._poll = select.poll()
        for each in (descriptor, self._woken):
            self._poll.register(each, select.POLLIN)

    def read(self, size: int) -> memoryview:
        """`size` bytes, or fewer: then `lost` says why. Raises DatasetError for more than MESSAGE_BYTES."""
        if size > MESSAGE_BYTES:
            raise DatasetError(
                f"the stream from {self.name} announces a message of {size:,} bytes, expected at most "
                f"{MESSAGE_BYTES:,}: it is damaged, or no Arrow IPC stream (an Arrow file is none), or its record "
                "batches are too large"
            )
        # Memory that is not touched before bytes come: a size that is not true costs nothing.
        buffer, done = np.empty(size, np.uint8).data, 0
        while done < size and self._wait():
            try:
                got = os.readv(self._descriptor, [buffer[done:]])
            except OSError as error:
                self.lost = error.strerror
                break
            if got == 0:
                self.lost = "end of file"
                break
            done += got
        return buffer[:done]

    def stop(self) -> None:
        """Let a read that waits, and every later one, end at once; from any thread."""
        self.stopped = True
        self._waker.close()  # which the other end of the pair notices

    def close(self) -> None:
        """Close what was opened for the source; standard input stays open."""
        self.closed = True
        for each in (self._connection, self._woken, self._waker):
            if each is not None:
                each.close()

    def _wait(self) -> bool:
        """Wait until there is something to read; False where `stop` was called."""
        while True:
            self.idle()
            ready = {descriptor for descriptor, _ in self._poll.poll(PUBLISH_SECONDS * 1000)}
            if self._woken.fileno() in ready:
                self.lost = "stopped"
                return False
            if ready:
                return True


def open_source(source: str) -> Source:
    """Open "-", standard input, or connect to "tcp://HOST:PORT" (an IPv6 address in brackets).

    Raises ConfigError for anything else and where standard input is a terminal or closed, DatasetError where nobody
    answers.
    """
    if source == "-":
        try:
            terminal = os.isatty(0) or not os.fstat(0)
        except OSError:
            raise ConfigError("standard input is closed; pipe an Arrow IPC stream into it") from None
        if terminal:
            raise ConfigError("standard input is a terminal; pipe an Arrow IPC stream into it")
        return Source("standard input", 0)
    host, port = _address(source)
    try:
        connection = socket.create_connection((host, port), CONNECT_SECONDS)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DatasetError(
            f"cannot connect to {source}: {why}; expected a server there that sends an Arrow IPC stream"
        ) from error
    connection.settimeout(None)
    # A machine at the other end that is gone without a word is found out.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return Source(source, connection.fileno(), connection)


def _address(source: str) -> tuple[str, int]:
    try:
        parts = urlsplit(source)
        if parts.scheme == "tcp" and parts.hostname and parts.port and source.endswith(f":{parts.port}"):
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise ConfigError(f"{source} is no source of a stream; expected - or tcp://HOST:PORT")


class StreamIngest:
    """Receives a stream in a thread of its own and adds its rows to the dataset at `path`, which may be there.

    The rows are published as soon as `rows` of them are held and PUBLISH_SECONDS have passed since the last time. All
    that came before the stream's end, a break, a fault or `stop` is published, too.
    """

    def __init__(self, source: Source, path: Path, classes: int, rows: int) -> None:
        self.path = path
        self.rows = 0  # received
        self.ended = False  # the stream, with the marker that says so, and with it the dataset
        self.error: Exception | None = None
        self._source, self._classes, self._least = source, classes, rows
        self._writer: DatasetWriter | None = None
        self._published, self._last = 0, -PUBLISH_SECONDS  # of `rows`; when
        self._news = threading.Event()  # a manifest, or the end of the thread
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_for_rows(self, seconds: float) -> bool:
        """Wait for at most `seconds`; whether a dataset is there to be opened. Raises what made that impossible."""
        if not (self.path / NAME).exists():
            self._news.wait(seconds)
        if (self.path / NAME).exists():
            return True
        self.check()
        return False

    def check(self) -> None:
        """Raise what went wrong: a DatasetError for the stream, an OSError where the dataset cannot be written."""
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """End the reading and publish what came; waits for that, at most STOP_SECONDS. May be called again."""
        self._source.stop()
        if self._thread.ident is None:
            self._source.close()
        else:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            with closing(self._source):
                self._receive()
        except Exception as error:
            self.error = error
        finally:
            self._news.set()

    def _receive(self) -> None:
        source, fault = self._source, None
        source.idle = self._publish_when_due
        with ExitStack() as stack:  # at its end the writer publishes what it holds
            try:
                for rows in read_stream(source, f"the stream from {source.name}", self._classes):
                    if self._writer is None:
                        self._writer = stack.enter_context(self._open(rows.pixels.shape[1:]))
                    self._add(rows)
            except DatasetError as error:
                fault = error
            if source.lost:
                fault = None if source.stopped else self._broke_off()
            elif fault is None:
                if self._writer is None:
                    self._writer = stack.enter_context(self._open(self._shape_there()))
                self._writer.end()
        self.ended = fault is None and not source.lost
        if fault is not None:
            raise fault

    def _open(self, shape: tuple[int, ...]) -> DatasetWriter:
        height, width = shape
        return DatasetWriter(self.path, (height, width), self._classes, extend=True)

    def _shape_there(self) -> tuple[int, int]:
        """The shape of the images that are there already: the rest of a stream may be its end alone."""
        if (self.path / NAME).exists():
            return Manifest.read(self.path).image_shape
        raise DatasetError(f"the stream from {self._source.name} ended without rows, expected at least one")

    def _broke_off(self) -> DatasetError:
        return DatasetError(
            f"the stream from {self._source.name} broke off after {self.rows:,} rows, without Arrow's end-of-stream "
            f"marker ({self._source.lost})"
            + (
                "; the rows are kept: go on by --resume with the rest"
                if self.rows
                else "; expected an Arrow IPC stream"
            )
        )

    def _add(self, rows: Rows) -> None:
        assert self._writer is not None
        for begin in range(0, len(rows.labels), SHARD_ROWS):
            labels = rows.labels[begin : begin + SHARD_ROWS]
            self._writer.append(rows.pixels[begin : begin + SHARD_ROWS], labels)
            self.rows += len(labels)
            self._publish_when_due()

    def _publish_when_due(self) -> None:
        due = self.rows - self._published >= self._least and time.monotonic() >= self._last + PUBLISH_SECONDS
        if self._writer is not None and due:
            self._writer.publish()
            self._published, self._last = self.rows, time.monotonic()
            self._news.set()
