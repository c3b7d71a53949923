"""RabbitMQ streams: rabbitmq-stream://HOST:PORT/STREAM, and rabbitmq-stream+tls:// with TLS.

The offset of a stream is a `CheckedOffset`. The message before it is read again when a run continues: its checksum,
which includes the time of its chunk, tells whether the stream is the same.

RabbitMQ's own records have offsets, too, for example those of consumers that store theirs. They are not delivered, so
missing offsets are no gap by themselves. But RabbitMQ removes the oldest messages first, and then delivers what
follows without a word, also to a run that is connected. So whenever offsets are missing, the last message before them
is looked up: if it is still there, no message after it was removed.
"""

from collections.abc import Iterator
from typing import Any

from ddmlp.data.position import Position
from ddmlp.data.sources.broker_stream import BrokerStream
from ddmlp.data.sources.checked_offset import CheckedOffset
from ddmlp.data.sources.fetch_size import FETCH_BYTES, MAX_MESSAGES
from ddmlp.data.sources.rabbitmq_chunk import StoredMessage, messages_of
from ddmlp.data.sources.rabbitmq_connection import SETTINGS, RabbitConnection
from ddmlp.data.sources.rabbitmq_messages import RabbitMessages
from ddmlp.data.sources.stream_uri import StreamUri
from ddmlp.errors import DatasetError, require_package

FORM = "rabbitmq-stream://HOST[:PORT]/STREAM?format=..."
PORTS = {"rabbitmq-stream": 5552, "rabbitmq-stream+tls": 5551}


def open_rabbitmq(uri: str) -> BrokerStream:
    """Open a RabbitMQ stream; raises ConfigError."""
    require_package("rstream", "rabbitmq", "a rabbitmq-stream:// stream")
    found = StreamUri.parse(uri, FORM, PORTS[uri.partition("://")[0]], SETTINGS, {"vhost"})
    return BrokerStream(found, RabbitBroker(found))


class RabbitBroker:
    """A RabbitMQ stream, as a `Broker`."""

    def __init__(self, uri: StreamUri) -> None:
        self._name, self._stream = uri.name, uri.stream
        self._identity = {"kind": "rabbitmq", "vhost": uri.more.get("vhost", "/"), "stream": uri.stream}
        self._connection = RabbitConnection(uri)
        self._messages: Iterator[StoredMessage] | None = None  # the rest of the first chunk
        self._next = 0
        self._end = -1  # the offset after the last message, when that was looked up; -1: it was not
        self._last: StoredMessage | None = None  # the last message that was read,
        self._checksum = ""  # or its checksum

    def open(self, position: Position | None) -> Position:
        """Connect, and go to a position; see `Broker`."""
        return self._connection.run(self._open(position))

    def fetch(self, seconds: float) -> RabbitMessages:
        """Return the next messages; see `Broker`."""
        return self._connection.run(self._fetch(seconds))

    def commit(self, position: Position) -> None:
        """Store the offset of the last message that was read; see `Broker`. Nothing here reads it."""
        if following := CheckedOffset.parse(position.offsets[self._stream]).number:
            self._connection.run(self._connection.store(following - 1))

    def unread(self) -> int | None:
        """Return how many offsets come after those that were returned; see `Broker`."""
        return self._connection.run(self._unread())

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    async def _open(self, position: Position | None) -> Position:
        self._next, self._end, self._last, self._checksum, self._messages = 0, -1, None, "", None
        if position is not None:
            if position.identity != self._identity:
                raise self._another(f"it is {self._identity}, expected {position.identity}")
            self._next, self._checksum = CheckedOffset.parse(position.offsets.get(self._stream, ""))
        await self._connection.connect()
        if self._checksum and (first := await self._look_up()) > self._next:
            raise self._gap(first)
        await self._connection.read(self._next if self._checksum else None)
        offset = position.offsets[self._stream] if position else "0"
        return Position(self._identity, {self._stream: offset})

    async def _look_up(self) -> int:
        """Look up the last message that was read, and return its offset; if it is gone, that of the next one.

        Raises DatasetError if it has changed, or the stream ends before it.
        """
        last, checksum = self._next - 1, self._last.checksum if self._last else self._checksum
        chunk = await self._connection.look_up(last)
        for message in self._messages_of(chunk) if chunk else ():
            if message.offset == last and message.checksum != checksum:
                raise self._another(f"the message {last:,}, which was read before, has changed")
            if message.offset >= last:
                return message.offset
        raise self._another(f"it has no message {last:,}, which was read before")

    async def _fetch(self, seconds: float) -> RabbitMessages:
        connection, found, size = self._connection, list[StoredMessage](), 0
        if not connection.chunks:
            await connection.wait(seconds)
        while connection.chunks and len(found) < MAX_MESSAGES and size < FETCH_BYTES:
            if self._messages is None:
                first, begun = connection.chunks[0].chunk_first_offset, self._last or self._checksum
                if begun and first > self._next and await self._look_up() >= self._next:
                    raise self._gap(first)
                self._messages = self._messages_of(connection.chunks[0])
            for message in self._messages:
                if message.offset >= self._next:  # chunks are delivered from their beginning
                    found.append(message)
                    self._last, self._next = message, message.offset + 1
                    size += len(message.content)
                    if len(found) == MAX_MESSAGES or size >= FETCH_BYTES:
                        break
            else:
                self._messages = None
                await connection.use_up()
        return RabbitMessages(self._stream, found)

    async def _unread(self) -> int | None:
        """Look up the last chunk, unless all was read and no more has arrived since then."""
        if self._connection.chunks or self._end != self._next:
            if (chunk := await self._connection.look_up(None)) is None:
                return None
            self._end = chunk.chunk_first_offset + chunk.num_records
        return max(0, self._end - self._next)

    def _messages_of(self, chunk: Any) -> Iterator[StoredMessage]:
        try:
            yield from messages_of(chunk)
        except ValueError as error:
            first = chunk.chunk_first_offset
            raise DatasetError(f"{self._name}: the messages from {first:,} on cannot be decoded: {error}") from None

    def _gap(self, first: int) -> DatasetError:
        return DatasetError(
            f"{self._name} has a gap: it continues with the message {first:,}, expected {self._next:,}; start a new run"
        )

    def _another(self, why: str) -> DatasetError:
        return DatasetError(f"{self._name} is not the stream as it was before: {why}; start a new run")
