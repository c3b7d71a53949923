"""Requests for the messages of a JetStream consumer, some of which are always under way."""

import asyncio
import json
import time
from collections import deque
from contextlib import suppress
from typing import Any

from ddmlp.data.sources.broker_stream import Disconnected
from ddmlp.errors import printable

REQUEST_SECONDS = 5.0  # for which the server keeps a request that it has no messages for
_ACKNOWLEDGE = "$JS.ACK."  # where a message of a consumer would be acknowledged; nothing else has a subject like that
_OVER = "404", "408"  # a request that the server no longer keeps
_LOST = "503", "409"  # the consumer, or its server


class NatsPull:
    """The messages of a consumer. While some of them are decoded, the next ones are on their way.

    The client's own `fetch` sends a request only when the messages of the one before have arrived.
    """

    def __init__(self, client: Any, stream: str, consumer: str) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._requests: deque[list[float]] = deque()  # until when the server keeps each, and its messages to come
        self._arrived: list[Any] = []
        self._enough, self._wanted = asyncio.Event(), 1
        self._refusal: Any = None

    async def begin(self) -> None:
        """Let messages arrive."""
        await self._client.subscribe(self._inbox, cb=self._take)

    async def fetch(self, count: int, seconds: float) -> list[Any]:
        """Return the next messages: half of `count`, or fewer after a wait of `seconds`; about `count` are under way.

        Raises Disconnected if the consumer is gone, and the client's APIError if the server refuses a request.
        """
        await self._request(count)
        self._wanted = max(1, count // 2)
        self._enough.clear()
        if len(self._arrived) < self._wanted and self._refusal is None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._enough.wait(), seconds)
        if self._refusal is not None:
            self._raise(self._refusal)
        found, self._arrived = self._arrived, []
        return found

    async def _request(self, count: int) -> None:
        """Ask for messages if fewer than half of `count` are under way."""
        now = time.monotonic()
        while self._requests and self._requests[0][0] <= now:
            self._requests.popleft()
        under_way = int(sum(left for _, left in self._requests))
        if under_way <= count // 2:
            wanted = count - under_way
            self._requests.append([now + REQUEST_SECONDS, wanted])
            request = {"batch": wanted, "expires": int(REQUEST_SECONDS * 1e9)}
            await self._client.publish(self._next, json.dumps(request).encode(), reply=self._inbox)

    async def _take(self, message: Any) -> None:
        """Keep a message that has arrived; the client calls this."""
        if message.reply.startswith(_ACKNOWLEDGE):
            self._arrived.append(message)
            if self._requests:
                oldest = self._requests[0]
                oldest[1] -= 1
                if oldest[1] <= 0:
                    self._requests.popleft()
            if len(self._arrived) >= self._wanted:
                self._enough.set()
        elif (message.headers or {}).get("Status", "404") not in _OVER:
            self._refusal = message
            self._enough.set()

    @staticmethod
    def _raise(refusal: Any) -> None:
        from nats.js.errors import APIError

        why = refusal.headers.get("Description", "")
        if refusal.headers["Status"] in _LOST and not why.startswith("Exceeded"):
            raise Disconnected(printable(why) or "the consumer is gone")
        APIError.from_msg(refusal)


def place_of(message: Any) -> tuple[int, int]:
    """Return the number of a message in its stream, and when it was stored, in milliseconds since 1970.

    They are in the subject for acknowledgements: $JS.ACK.STREAM.CONSUMER.DELIVERIES.NUMBER.NUMBER.NANOSECONDS.PENDING;
    or with a domain and an account before the stream.
    """
    parts = message.reply.split(".")
    place = 5 if len(parts) == 9 else 7
    return int(parts[place]), int(parts[place + 2]) // 1_000_000
