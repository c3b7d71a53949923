"""Admission of requests: so many at once, so many more that wait, and no others."""

import asyncio
from collections.abc import AsyncIterator

from ddmlp.errors import RequestError


class Admission:
    """The bound on what requests hold. Belongs to one event loop."""

    def __init__(self, at_once: int, waiting: int = 0) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._max = at_once + waiting
        self._here = 0

    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it until the request is answered: what FastAPI calls a dependency with yield.

        Raises RequestError at once if too many wait already.
        """
        if self._here >= self._max:
            raise RequestError(429, f"{self._here} requests are being answered already; try again in a second")
        self._here += 1
        try:
            async with self._turns:
                yield
        finally:
            self._here -= 1
