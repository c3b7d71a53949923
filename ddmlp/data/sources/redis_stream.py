"""Redis Streams: redis://HOST:PORT/STREAM, and rediss:// with TLS.

An entry has the field `payload`, and for some forms of payloads the field `label`. The offset of a stream is
ID@COUNT: the ID of the last entry that was read, and how many of all entries ever added come before the next one.

Redis does not say whether a stream is the same as before, or was deleted and made again. So a run makes a consumer
group, which belongs to the stream and is deleted with it; its name is the identity. Nothing is read through the group:
it only shows other programs how far the run is.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ddmlp.data.position import Position
from ddmlp.data.sources.broker_stream import BrokerStream, Disconnected
from ddmlp.data.sources.fetch_size import FetchSize
from ddmlp.data.sources.messages import Message
from ddmlp.data.sources.redis_info import Id, RedisInfo, id_of, look, text_of
from ddmlp.data.sources.stream_uri import StreamUri, flag_of
from ddmlp.errors import ConfigError, DatasetError, printable, require_package

FORM = "redis://HOST[:PORT]/STREAM?format=..."
PASSWORD = "REDISCLI_AUTH"  # the variable of the environment with the password, as for redis-cli
SETTINGS = {
    "username", "password", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password",
    CHECK := "ssl_check_hostname",
}  # fmt: skip
SECONDS = 10.0  # to connect, and for an answer
_OFFSET = re.compile(r"(\d{1,20})-(\d{1,20})@(\d{1,20})")


def open_redis(uri: str) -> BrokerStream:
    """Open a Redis stream; raises ConfigError."""
    require_package("redis", "redis", "a redis:// stream")
    found = StreamUri.parse(uri, FORM, 6379, SETTINGS, {"db"})
    return BrokerStream(found, RedisBroker(found))


class RedisBroker:
    """A Redis stream, as a `Broker`."""

    def __init__(self, uri: StreamUri) -> None:
        import redis

        database = uri.more.get("db", "0")
        if not re.fullmatch(r"\d{1,5}", database):
            raise ConfigError(f"the database is {printable(database)!r}, expected a whole number")
        settings: dict[str, Any] = {"password": os.environ.get(PASSWORD) or None, **uri.settings}
        if (check := settings.get(CHECK)) is not None:
            settings[CHECK] = flag_of(CHECK, check)
        self._name, self._partition, self._key = uri.name, uri.stream, uri.stream.encode()
        self._identity: dict[str, str] = {}
        self._last: Id = (0, 0)
        self._passed = 0  # entries ever added that are before the next one
        self._size = FetchSize()
        self._connect: Callable[[], Any] = lambda: redis.Redis(
            host=uri.host,
            port=uri.port,
            db=int(database),
            ssl=uri.scheme == "rediss",
            socket_connect_timeout=SECONDS,
            socket_timeout=SECONDS,
            protocol=2,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            **settings,
        )

    @cached_property
    def _client(self) -> Any:
        return self._connect()

    def open(self, position: Position | None) -> Position:
        """Find the stream, and go to a position; see `Broker`."""
        with self._errors():
            if position is None:
                self._begin()
            else:
                self._go_to(position)
                self._read(0)
                self._check_last()
        return Position(self._identity, {self._partition: self._offset()})

    def _begin(self) -> None:
        """Go to the first entry. Raises DatasetError if entries after it were deleted."""
        group = f"ddmlp-{secrets.token_hex(8)}"
        self._client.xgroup_create(self._key, group, "0", mkstream=True)
        self._identity = {"kind": "redis", "stream": self._partition, "group": group}
        stream = RedisInfo.of(self._client.eval(*look(self._key)))
        if stream.first and stream.deleted > stream.first:
            raise DatasetError(
                f"{self._name} has lost the entry {text_of(stream.deleted)}: it was deleted, although older ones are "
                "kept; copy the entries into a new stream"
            )
        self._last, self._passed = (0, 0), stream.added - stream.length

    def _go_to(self, position: Position) -> None:
        """Go to a position; raises DatasetError if it is that of another stream."""
        found = _OFFSET.fullmatch(position.offsets.get(self._partition, ""))
        expected = {"kind": "redis", "stream": self._partition, "group": position.identity.get("group", "")}
        if position.identity != expected or not found:
            raise DatasetError(
                f"{self._name} is not the stream that the rows so far come from: {position.identity}; name that one"
            )
        self._identity = expected
        first, second, self._passed = (int(number) for number in found.groups())
        self._last = first, second

    def fetch(self, seconds: float) -> list[Message]:
        """Return the next entries; see `Broker`."""
        with self._errors():
            if not (found := self._read(self._size.count)):
                self._client.xread({self._key: text_of(self._last)}, count=1, block=max(1, round(seconds * 1000)))
                found = self._read(self._size.count)
            messages = []
            for passed, (name, fields) in enumerate(found, self._passed + 1):
                entry = name.decode()
                contents = fields.get(b"payload"), fields.get(b"label")
                messages.append(Message(self._partition, entry, f"{entry}@{passed}", *contents, id_of(name)[0]))
            if found:
                self._last = id_of(found[-1][0])
                self._passed += len(found)
                self._size.see(max(sum(map(len, fields.values())) for _, fields in found), len(found))
        return messages

    def _read(self, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Return up to `count` entries after the last one; raises DatasetError if the next ones are gone."""
        with self._client.pipeline(transaction=True) as pipe:  # all of one moment
            pipe.eval(*look(self._key))
            pipe.xinfo_groups(self._key)
            if count:
                pipe.xread({self._key: text_of(self._last)}, count=count)
            stream, groups, *answers = pipe.execute()
        if self._identity["group"].encode() not in [group["name"] for group in groups]:
            raise self._another("the consumer group of the run is gone")
        self._check(RedisInfo.of(stream))
        return answers[0][0][1] if answers and answers[0] else []

    def _check(self, stream: RedisInfo) -> None:
        """Raise DatasetError if entries after the last one are gone."""
        last = text_of(self._last)
        if stream.newest < self._last:
            raise self._another(f"its newest entry is {text_of(stream.newest)}, but {last} was read before")
        if stream.first is None or stream.first > self._last:  # what was read is gone, and perhaps more
            if (lost := stream.added - stream.length - self._passed) < 0:
                raise self._another(f"it has had {stream.added:,} entries, but {self._passed:,} were read before")
            if lost:
                raise self._gap(f"{lost:,} entries after {last} were trimmed")
        elif stream.deleted > self._last:
            raise self._gap(f"the entry {text_of(stream.deleted)} was deleted")

    def _check_last(self) -> None:
        """Raise DatasetError if the last entry is gone, although older ones are kept: Redis has lost new data."""
        last = text_of(self._last)
        oldest = self._client.xrange(self._key, count=1)
        if oldest and id_of(oldest[0][0]) <= self._last and not self._client.xrange(self._key, last, last):
            raise self._another(f"the entry {last} was read before, and is gone")

    def _gap(self, what: str) -> DatasetError:
        return DatasetError(f"{self._name} has a gap: {what} before the run has read it; start a new run")

    def _another(self, why: str) -> DatasetError:
        return DatasetError(f"{self._name} is not the stream as it was before: {why}; start a new run")

    def _offset(self) -> str:
        return f"{text_of(self._last)}@{self._passed}"

    def commit(self, position: Position) -> None:
        """Let the consumer group show the position; see `Broker`."""
        with self._errors():
            last, _, passed = position.offsets[self._partition].partition("@")
            self._client.xgroup_setid(self._key, self._identity["group"], last, entries_read=int(passed))

    def unread(self) -> int:
        """Return how many entries come after the last one; see `Broker`."""
        with self._errors():
            return max(0, RedisInfo.of(self._client.eval(*look(self._key))).added - self._passed)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise Redis' errors as those of a `Broker`."""
        from redis import exceptions

        try:
            yield
        except exceptions.AuthenticationError as error:
            raise DatasetError(
                f"{self._name} refuses the user or the password: {printable(str(error))}; set {PASSWORD}, or name a "
                "file with username and password by ?config=FILE"
            ) from None
        except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError) as error:
            raise Disconnected(printable(" ".join(str(error).split()))) from None
        except exceptions.RedisError as error:
            raise DatasetError(f"{self._name} cannot be read: {printable(' '.join(str(error).split()))}") from None
