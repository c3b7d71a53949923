"""Admission of requests: so many at once, so many more of each client that wait, and no others."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from fastapi import Request

from ddmlp.errors import RequestError


class Admission:
    """The bound on what requests hold. Belongs to one event loop.

    The requests of each client wait in a queue of their own, and the queues take turns: a client with many requests
    makes another wait for one of them, not for all.
    """

    def __init__(self, at_once: int, waiting: int = 0) -> None:
        """at_once: requests that have their turn; waiting: how many of each client wait, at most."""
        self._free = at_once
        self._waiting = waiting
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # by client; the first has the next turn

    async def turn(self, request: Request) -> AsyncIterator[None]:
        """Wait for a turn, and hold it until the request is answered: what FastAPI calls a dependency with yield.

        Raises RequestError at once if too many requests of that client wait already.
        """
        await self._take(request.client.host if request.client else "")
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, client: str) -> None:
        if self._free:
            self._free -= 1
            return
        queue = self._queues.get(client, deque())
        if len(queue) >= self._waiting:
            raise RequestError(429, f"{len(queue)} requests of {client} wait already; try again in a second")
        self._queues[client] = queue
        granted = asyncio.get_running_loop().create_future()
        queue.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a turn that has ended to the next request that still waits."""
        while self._queues:
            client = next(iter(self._queues))
            queue = self._queues.pop(client)
            granted = queue.popleft()
            if queue:
                self._queues[client] = queue  # behind the other clients
            if not granted.done():
                granted.set_result(None)
                return
        self._free += 1
