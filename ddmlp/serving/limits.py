"""Admission control: a limit on requests at once, and on waiting requests of each client."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from fastapi import Request

from ddmlp.errors import RequestError


class Admission:
    """Limits how many requests run at once, and how many wait. Belongs to one event loop.

    Each client has its own queue, and the queues take turns (round robin): a client with many requests delays another
    client by one of them, not by all.

    Parameters
    ----------
    at_once
        Largest number of requests that run.
    waiting
        Largest number of requests of each client that wait.
    """

    def __init__(self, at_once: int, waiting: int = 0) -> None:
        self._free = at_once
        self._waiting = waiting
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # by client; the first has the next turn

    async def turn(self, request: Request) -> AsyncIterator[None]:
        """Wait for a turn, and hold it until the request is answered: a FastAPI dependency with yield.

        Raises
        ------
        RequestError
            At once, if too many requests of this client are waiting.
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
            raise RequestError(429, f"{client} already has {len(queue)} waiting requests; try again in a second")
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
        """Give a turn that has ended to the next waiting request."""
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
