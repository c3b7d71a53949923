"""A Redis server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.broker import Sent, Server


class Redis(Server):
    """A Redis server that syncs each entry to disk."""

    scheme, program, install = "redis", "redis-server", "redis-server"

    def command(self) -> list[str]:
        given = {"port": str(self.port), "bind": self.host, "dir": str(self.folder), "save": ""}
        given |= {"protected-mode": "no", "appendonly": "yes", "appendfsync": "always", **self.settings}
        return [self.program, *(word for name, value in given.items() for word in (f"--{name}", value))]

    @contextmanager
    def client(self) -> Iterator[Any]:
        import redis

        never = redis.retry.Retry(redis.backoff.NoBackoff(), 0)  # by default it sends messages again
        password = self.settings.get("requirepass")
        with redis.Redis(self.host, self.port, protocol=2, password=password, retry=never) as client:
            yield client

    def answers(self) -> bool:
        import redis

        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def send(self, stream: str, messages: Sequence[Sent]) -> None:
        with self.client() as client, client.pipeline(transaction=False) as pipe:
            for payload, label in messages:
                pipe.xadd(stream, {"payload": payload, **({} if label is None else {"label": label})})
            pipe.execute()

    def count(self, stream: str) -> int:
        with self.client() as client:
            return int(client.xlen(stream))

    def errors(self) -> tuple[type[Exception], ...]:
        import redis

        return (redis.RedisError,)

    def trim(self, stream: str, keep: int) -> None:
        with self.client() as client:
            client.xtrim(stream, maxlen=keep, approximate=False)

    def remove(self, stream: str) -> None:
        with self.client() as client:
            client.delete(stream)
