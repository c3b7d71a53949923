"""NATS JetStream: nats://HOST:PORT/STREAM.

The label beside a payload is the header `label`. An offset is the stream's sequence number of the next message. When
the stream was created is its identity. The messages have consecutive numbers, so a missing one is noticed.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from ddmlp.data.position import Position
from ddmlp.data.sources.broker_stream import BrokerStream, Disconnected
from ddmlp.data.sources.fetch_size import FetchSize
from ddmlp.data.sources.messages import Message, MessageList
from ddmlp.data.sources.nats_pull import NatsPull, place_of
from ddmlp.data.sources.stream_uri import StreamUri, from_environment, tls_context
from ddmlp.errors import DatasetError, require_package, text_of

FORM = "nats://HOST[:PORT]/STREAM?format=..."
SETTINGS = {
    "user", "password", "token", "user_credentials", "nkeys_seed", "tls_ca", "tls_cert", "tls_key", "tls_hostname",
}  # fmt: skip
ENVIRONMENT = {"user": "NATS_USER", "password": "NATS_PASSWORD", "user_credentials": "NATS_CREDS"}  # as of its command
SECONDS = 5.0  # to connect, and for an answer
PING_SECONDS = 4.0  # between signs of life; the connection is closed if three of them are not answered
SHORT_SECONDS = 0.5  # for an answer that may be missing
INACTIVE_SECONDS = 300.0  # after which the server may forget a consumer

T = TypeVar("T")


def open_nats(uri: str) -> BrokerStream:
    """Open a JetStream stream; raises ConfigError."""
    require_package("nats", "nats", "a nats:// stream")
    found = StreamUri.parse(uri, FORM, 4222, SETTINGS)
    return BrokerStream(found, NatsBroker(found))


class NatsBroker:
    """A stream of JetStream, as a `Broker`. Its client runs only within the methods, so it needs no thread."""

    def __init__(self, uri: StreamUri) -> None:
        self._name, self._stream = uri.name, uri.stream
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        self._server, self._address = f"nats://{host}:{uri.port}", (uri.host, uri.port)
        self._settings: dict[str, Any] = {**from_environment(ENVIRONMENT), **uri.settings}
        if "tls_ca" in self._settings:
            self._settings["tls"] = tls_context(self._settings)
        for name in ("tls_ca", "tls_cert", "tls_key"):
            self._settings.pop(name, None)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None
        self._jetstream: Any = None
        self._pull: NatsPull | None = None
        self._seen: Exception | None = None  # the last error that the client has noted
        self._next = 1
        self._size = FetchSize()

    def open(self, position: Position | None) -> Position:
        """Connect, and go to a position; see `Broker`."""
        return self._run(self._open(position))

    def fetch(self, seconds: float) -> list[Message]:
        """Return the next messages; see `Broker`."""
        return self._run(self._fetch(seconds))

    def commit(self, position: Position) -> None:
        """Do nothing: the server itself shows how far its consumer is."""

    def unread(self) -> int:
        """Return how many messages come after those that were returned; see `Broker`."""
        return self._run(self._unread())

    async def _unread(self) -> int:
        if not self._client.is_connected:
            raise Disconnected("the connection is closed")
        info = await asyncio.wait_for(self._jetstream.stream_info(self._stream), SHORT_SECONDS)
        return max(0, int(info.state.last_seq) + 1 - self._next)

    def close(self) -> None:
        """Disconnect."""
        if self._loop is not None:
            self._loop.run_until_complete(self._disconnect())
            self._loop.close()
            self._loop = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the client; raises its errors as those of a `Broker`."""
        from nats import errors
        from nats.js.errors import APIError

        self._loop = self._loop or asyncio.new_event_loop()
        try:
            return self._loop.run_until_complete(work)
        except (errors.AuthorizationError, errors.InvalidUserCredentialsError) as error:
            raise DatasetError(
                f"{self._name} refuses the user: {text_of(error)}; name a file with the settings user and password by "
                "?config=FILE"
            ) from None
        except APIError as error:
            if error.code == 404:
                raise DatasetError(f"{self._name} is no stream: {text_of(error)}; create it first") from None
            if error.code == 503:
                raise Disconnected(text_of(error)) from None
            raise DatasetError(f"{self._name} cannot be read: {text_of(error)}") from None
        except (TimeoutError, errors.Error, OSError) as error:
            if "authorization violation" in str(error).lower():
                raise DatasetError(f"{self._name} refuses the user or the password: {text_of(error)}") from None
            raise Disconnected(text_of(self._seen or error)) from None

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(client.close(), SECONDS)

    async def _open(self, position: Position | None) -> Position:
        from nats.aio.client import Client
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        await self._disconnect()
        client = Client()

        self._seen = None

        async def see(error: Exception) -> None:
            self._seen = error

        # The client would try until the time is over.
        _, probe = await asyncio.wait_for(asyncio.open_connection(*self._address), SECONDS)
        probe.close()
        await probe.wait_closed()
        once = {"allow_reconnect": False, "max_reconnect_attempts": 0, "ping_interval": PING_SECONDS}
        self._client = client
        await asyncio.wait_for(client.connect(self._server, **once, error_cb=see, **self._settings), SECONDS)
        self._jetstream = client.jetstream(timeout=SECONDS)
        info = await self._jetstream.stream_info(self._stream)
        identity = {"kind": "nats", "stream": self._stream, "created": info.created.isoformat()}
        state = info.state
        first = state.first_seq if state.messages else state.last_seq + 1
        if position is None:
            self._next = first
        else:
            if position.identity != identity:
                raise self._another(f"it is {identity}, expected {position.identity}")
            self._next = int(position.offsets[self._stream])
            if first > self._next:
                raise self._gap(f"it begins with the message {first:,}")
            if state.last_seq < self._next - 1:
                raise self._another(f"its last message is {state.last_seq:,}, but {self._next - 1:,} was read before")
        consumer = await self._jetstream.add_consumer(
            self._stream,
            ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._next,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=INACTIVE_SECONDS,
            ),
        )
        self._pull = NatsPull(client, self._stream, consumer.name)
        await self._pull.begin()
        return Position(identity, {self._stream: str(self._next)})

    async def _fetch(self, seconds: float) -> list[Message]:
        if self._client is None or self._pull is None or not self._client.is_connected:
            raise Disconnected("the connection is closed")
        messages = MessageList()
        for each in await self._pull.fetch(self._size.count, seconds):
            number, time = place_of(each)
            if number < self._next:
                continue
            if number > self._next:
                await self._explain()
            self._next = number + 1
            label = (each.headers or {}).get("label")
            beside = None if label is None else label.encode(errors="surrogateescape")
            messages.append(Message(self._stream, str(number), str(self._next), each.data, beside, time))
        self._size.see_all(messages.payloads)
        return messages

    async def _explain(self) -> None:
        """Raise DatasetError if the server no longer has the next message, Disconnected if it was lost on its way."""
        from nats.js.errors import NotFoundError

        try:
            await self._jetstream.get_msg(self._stream, self._next)
        except NotFoundError:
            raise self._gap("it was deleted") from None
        raise Disconnected(f"the message {self._next} was lost on its way")

    def _gap(self, why: str) -> DatasetError:
        return DatasetError(f"{self._name} has a gap: {why}, expected the message {self._next:,}; start a new run")

    def _another(self, why: str) -> DatasetError:
        return DatasetError(f"{self._name} is not the stream as it was before: {why}; start a new run")
