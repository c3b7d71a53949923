"""A producer of messages, which continues when its broker is back."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.broker import Sent, Server

CHUNK = 50  # messages that are sent at a time
PAUSE = 0.01  # seconds between them
SECONDS = 60.0  # for the last ones


class Producer:
    """Sends messages a few at a time, in a thread; what the server has stored is not sent again."""

    def __init__(self, server: Server, stream: str, messages: Sequence[Sent]) -> None:
        self.lock = threading.Lock()  # while it is held, nothing is sent
        self._server, self._stream, self._messages = server, stream, messages
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._stop.wait(PAUSE):
                try:
                    with self.lock:
                        sent = self._server.count(self._stream)
                        if sent == len(self._messages):
                            return
                        self._server.send(self._stream, self._messages[sent : sent + CHUNK])
                except self._server.errors():  # it was killed
                    continue
        except BaseException as error:
            self._error = error

    @contextmanager
    def sending(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the producer waits for the server"
        if self._error is not None:
            raise self._error
