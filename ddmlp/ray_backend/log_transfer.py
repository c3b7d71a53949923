"""Sends log records to the process that writes them."""

import logging
import queue
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import QueueHandler
from threading import Thread

MAX_RECORDS = 1000  # in the buffer
CLOSE_SECONDS = 5.0  # for the records that are left in it

Write = Callable[[logging.LogRecord], object]


class DirectLog(QueueHandler):
    """Passes each record to `write`. The driver sends them to its parent process.

    A `QueueHandler` prepares records for another process; its queue is not used.
    """

    def __init__(self, write: Write) -> None:
        super().__init__(queue.Queue())
        self._write = write

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the reader has ended
            self._write(record)


class BufferedLog(QueueHandler):
    """Passes records to `write` one by one, in a thread: code that logs never waits.

    At most `MAX_RECORDS` are buffered. If the buffer is full, records are dropped, and the next one has their number.
    """

    def __init__(self, write: Write) -> None:
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(MAX_RECORDS)
        super().__init__(self._waiting)
        self._write, self._dropped = write, 0
        self._thread = Thread(target=self._write_all, daemon=True)
        self._thread.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._dropped:
            record.msg = f"{record.msg} ({self._dropped:,} records before this one were dropped)"
        try:
            self._waiting.put_nowait(record)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write the records that are left, for at most twice CLOSE_SECONDS."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_SECONDS)
            self._thread.join(CLOSE_SECONDS)
        super().close()

    def _write_all(self) -> None:
        for record in iter(self._waiting.get, None):
            with suppress(Exception):  # the server has ended or does not answer, so no log can have the record
                self._write(record)
