"""Connections with bounds, so that idle or slow clients cannot block others."""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 512
FILES = 256  # file descriptors left for everything else, if the system allows few
BACKLOG = 192  # connections that asyncio accepts in one go, before excess ones are closed
HEAD_SECONDS = 10.0  # for the head of a request, from the connection or the previous answer
WRITE_SECONDS = 30.0  # within which a client must read some of a waiting answer


class BoundedConnection(H11Protocol):
    """A uvicorn connection with a bound on its waits for the client, and on the number of connections.

    If there are too many, the one that has waited longest for its client, to send a request or the rest of one, is
    closed. So a new client is always accepted, however many idle connections there are.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._most = most_connections()
        self._answered: object = None  # the last request that was answered
        self._clock: asyncio.TimerHandle | None = None
        self._since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request()
        if len(self.connections) > self._most:
            others = (each for each in self.connections if isinstance(each, BoundedConnection) and each is not self)
            waiting = (each for each in others if each.waits and not each.transport.is_closing())
            min(waiting, key=lambda each: each._since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._heed_request()

    def on_response_complete(self) -> None:
        self._answered = self.cycle
        self._await_request()
        super().on_response_complete()
        self._heed_request()  # the next request may have arrived before this answer

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_clock(WRITE_SECONDS)

    def resume_writing(self) -> None:
        self._stop_clock()
        super().resume_writing()

    @property
    def waits(self) -> bool:
        """Whether the client must send: a request, or the rest of one."""
        return self.cycle is self._answered or bool(self.cycle.more_body)

    def _await_request(self) -> None:
        self._since = self.loop.time()
        self._start_clock(HEAD_SECONDS)

    def _heed_request(self) -> None:
        """Stop the clock once the head has arrived: the application limits the time of the body."""
        if self.cycle is not self._answered:
            self._stop_clock()

    def _start_clock(self, seconds: float) -> None:
        self._stop_clock()
        self._clock = self.loop.call_later(seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


def most_connections() -> int:
    """Return the largest number of connections: MAX_CONNECTIONS, or fewer if the process may open few files."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(allowed - FILES, allowed // 2))
