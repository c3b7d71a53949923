"""Connections of the server, none of which can keep others out."""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 512
FILES = 256  # that are left for all else, if the system allows few
BACKLOG = 192  # connections that are accepted at a time, before others give way for them
HEAD_SECONDS = 10.0  # for the head of a request, counted from the connection or from the answer before
WRITE_SECONDS = 30.0  # in which a client must take something of an answer that waits for it


class BoundedConnection(H11Protocol):
    """A connection of uvicorn, with bounds on how long it waits for its client, and on how many there are.

    If there are too many, the one that has waited for its client for the longest time is closed: for a request, or for
    the rest of one. A client that asks something is let in, however many are there that ask nothing.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._most = most_connections()
        self._answered: object = None  # the request that was answered last
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
        self._heed_request()  # which may have come before this answer

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_clock(WRITE_SECONDS)

    def resume_writing(self) -> None:
        self._stop_clock()
        super().resume_writing()

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn: to send a request, or the rest of one."""
        return self.cycle is self._answered or bool(self.cycle.more_body)

    def _await_request(self) -> None:
        self._since = self.loop.time()
        self._start_clock(HEAD_SECONDS)

    def _heed_request(self) -> None:
        """The clock is only for the head: if that is there, the application bounds the time of the rest."""
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
    """How many connections there may be: fewer than MAX_CONNECTIONS if the process may open few files."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(allowed - FILES, allowed // 2))
