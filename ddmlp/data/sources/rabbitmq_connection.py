"""A connection to a RabbitMQ server that has a stream: chunks come as credits are given."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from ddmlp.data.sources.broker_stream import Disconnected
from ddmlp.data.sources.fetch_size import FetchSize
from ddmlp.data.sources.stream_uri import StreamUri, from_environment, tls_context
from ddmlp.errors import DatasetError, text_of

SETTINGS = {"username", "password", "reference", "tls_ca", "tls_cert", "tls_key"}
ENVIRONMENT = {"username": "RABBITMQ_USERNAME", "password": "RABBITMQ_PASSWORD"}
SECONDS = 10.0  # for all that is done at a time
PING_SECONDS = 10.0  # after which a silent server is asked whether it is still there
READ_BYTES = 1 << 16  # of what is received at a time
FRAME_BYTES = 1 << 20  # of what is sent
HEARTBEAT_SECONDS = 60  # after twice as long without one, the server disconnects
READ, LOOK_UP = 0, 1  # the numbers of the subscriptions

T = TypeVar("T")


class RabbitConnection:
    """A connection for one stream. Its client runs only within `run`, so it needs no thread.

    A credit is given for each chunk that is used up, and more while the chunks are small.

    Attributes
    ----------
    chunks : deque
        The chunks that have arrived, frames `Deliver`; `use_up` removes the first one.
    """

    def __init__(self, uri: StreamUri) -> None:
        self.chunks = deque[Any]()
        self._name, self._stream, self._vhost = uri.name, uri.stream, uri.more.get("vhost", "/")
        self._address = uri.host, uri.port
        defaults = {"username": "guest", "password": "guest", "reference": "ddmlp"}
        settings = defaults | from_environment(ENVIRONMENT) | dict(uri.settings)
        self._user = settings["username"], settings["password"]
        self._reference = settings["reference"]
        self._tls = tls_context(settings) if uri.scheme.endswith("+tls") else None
        self._runner: asyncio.Runner | None = None
        self._client: Any = None
        self._arrived = asyncio.Event()
        self._looked_up: Any = None  # the chunk that was looked up
        self._size = FetchSize()  # of chunks
        self._credit = 0  # of chunks that are here, or may come
        self._fault: Exception | None = None
        self._gone = ""  # why no more chunks will come
        self._heard = 0.0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the client; raises its errors as those of a `Broker`."""
        from rstream import exceptions

        if self._runner is None:
            logging.getLogger("rstream").addHandler(logging.NullHandler())  # its errors are raised here
            self._runner = asyncio.Runner()
            self._runner.get_loop().set_exception_handler(self._see_fault)
        try:
            # Not `run`, which in the main thread formats all that is returned.
            return self._runner.get_loop().run_until_complete(_in_time(work))
        except (
            exceptions.AuthenticationFailure,
            exceptions.SASLAuthenticationFailureLoopback,
            exceptions.VirtualHostAccessFailure,
            exceptions.AccessRefused,
        ) as error:
            raise DatasetError(
                f"{self._name} refuses the user or the password: {text_of(error)}; name a file with the settings "
                "username and password by ?config=FILE"
            ) from None
        except exceptions.StreamDoesNotExist:
            raise DatasetError(f"{self._name} is no stream; create it first") from None
        except (exceptions.StreamNotAvailable, exceptions.LeaderNotAvailable, exceptions.InternalError) as error:
            raise Disconnected(text_of(error)) from None
        except (exceptions.ServerError, AssertionError) as error:
            raise DatasetError(f"{self._name} cannot be read: {text_of(error)}") from None
        except OSError as error:  # also if there is no answer in time
            self._raise_fault()
            raise Disconnected(text_of(error)) from None

    def _raise_fault(self) -> None:
        """Raise DatasetError if the client has stopped reading."""
        if self._fault is not None:
            why = text_of(self._fault.__cause__ or self._fault)
            raise DatasetError(f"{self._name} cannot be read: it has sent what cannot be decoded: {why}")

    def _see_fault(self, _loop: object, context: dict[str, Any]) -> None:
        """Note that the client has stopped reading, because it cannot decode what the server has sent."""
        error = context.get("exception")
        if isinstance(error, ValueError | LookupError):
            self._fault = error
            self._arrived.set()

    def close(self) -> None:
        """Disconnect."""
        if self._runner is not None:
            with suppress(TimeoutError):
                self._runner.run(_in_time(self._disconnect()))
            self._runner.close()
            self._runner = None

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        self.chunks.clear()
        self._credit, self._gone = 0, ""
        if client is None:
            return
        for task in ("heartbeat_sender", "listener", f"run_delivery_handlers_{READ}"):  # its own `close` takes longer
            with suppress(Exception):
                await client.stop_task(task)
        if client._conn is not None:
            with suppress(OSError):
                await client._conn.close()

    async def connect(self) -> None:
        """Connect to a server that has the stream."""
        await self._connect(*self._address)
        leader, replicas = await self._client.query_leader_and_replicas(self._stream)
        places = [(each.host, each.port) for each in replicas or [leader]]
        about = self._client.server_properties
        # What a server calls itself may be of no use here, so a connection to one that has the stream is kept.
        if (about.get("advertised_host"), int(about.get("advertised_port") or 0)) not in places:
            await self._connect(*random.choice(places))

    async def _connect(self, host: str, port: int) -> None:
        from rstream import connection, schema
        from rstream.client import Client

        connection.CHUNK_SIZE = READ_BYTES  # it has no setting for this, and its 256 take most of the time
        await self._disconnect()
        self._client = Client(
            host,
            port,
            ssl_context=self._tls,
            frame_max=FRAME_BYTES,
            heartbeat=HEARTBEAT_SECONDS,
            connection_name="ddmlp",
            connection_closed_handler=lambda _: None,
        )
        await self._client.start()
        await self._client.authenticate(self._vhost, *self._user)
        self._client.add_handler(schema.Deliver, self._take, name=str(READ))  # for all subscriptions
        await self._client.run_queue_listener_task(READ, self._take)
        self._client.add_handler(schema.MetadataUpdate, self._see_end)
        self._heard = time.monotonic()

    def _take(self, chunk: Any) -> None:
        """Take a chunk that has arrived."""
        if chunk.subscription_id == LOOK_UP:
            self._looked_up = chunk
        else:
            self.chunks.append(chunk)
            self._arrived.set()

    def _see_end(self, _frame: Any) -> None:
        """Note that the server has ended the subscription."""
        self._gone = "the stream was removed, or has moved to another server"
        self._arrived.set()

    async def read(self, offset: int | None) -> None:
        """Let chunks arrive from the one with an offset on; None: from the first one."""
        from rstream import OffsetType, schema

        self._credit = self._size.count
        begin = schema.OffsetSpec.from_params(OffsetType.FIRST if offset is None else OffsetType.OFFSET, offset)
        await self._client.subscribe(self._stream, READ, begin, self._credit)

    async def look_up(self, offset: int | None) -> Any:
        """Return the chunk with an offset, or if that is gone, the first one after it; None if there is none.

        offset: None: the last chunk.
        """
        from rstream import OffsetType, schema

        if self._gone or not self._client.is_connection_alive():
            raise Disconnected(self._gone or "the connection is closed")
        self._looked_up = None
        begin = schema.OffsetSpec.from_params(OffsetType.LAST if offset is None else OffsetType.OFFSET, offset)
        try:
            await self._client.subscribe(self._stream, LOOK_UP, begin, 1)
            await self._client.unsubscribe(LOOK_UP)  # the chunk comes before the answer
        except asyncio.CancelledError:  # by `_in_time`; the subscription may still exist, so there can be no other one
            self._gone = "the server does not answer"
            raise
        return self._looked_up

    async def wait(self, seconds: float) -> None:
        """Wait for a chunk for at most `seconds`. Raises Disconnected if none will come."""
        self._arrived.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), seconds)
        now = time.monotonic()
        if self.chunks:
            self._heard = now
            return
        self._raise_fault()
        if self._gone or not self._client.is_connection_alive():
            raise Disconnected(self._gone or "the connection is closed")
        if now > self._heard + PING_SECONDS:
            await self._client.stream_exists(self._stream)  # raises an error if there is no answer
            self._heard = now

    async def use_up(self) -> None:
        """Remove the first chunk, and let more arrive."""
        self._size.see(len(self.chunks.popleft().data))
        self._credit -= 1
        if (more := self._size.count - self._credit) > 0:
            self._credit += more
            await self._client.credit(READ, more)

    async def store(self, offset: int) -> None:
        """Let the server show an offset, if there is a connection."""
        if self._client is not None:
            await self._client.store_offset(self._stream, self._reference, offset)


async def _in_time(work: Coroutine[Any, Any, T]) -> T:
    """Do something in SECONDS; raises TimeoutError."""
    async with asyncio.timeout(SECONDS):
        return await work
