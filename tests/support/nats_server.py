"""A NATS server with JetStream."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.support.broker import Sent, Server


class Nats(Server):
    """A NATS server that stores on disk."""

    scheme, program, install = "nats", "nats-server", "nats-server"

    def command(self) -> list[str]:
        more = [word for name, value in self.settings.items() for word in (f"--{name}", value)]
        return [self.program, "-a", self.host, "-p", str(self.port), "-js", "-sd", str(self.folder), *more]

    def ask(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run a function of JetStream's client."""
        import nats

        async def connected() -> Any:
            ways: dict[str, Any] = {
                name: self.settings[given] for name, given in NAMES.items() if given in self.settings
            }

            if "tlscacert" in self.settings:
                ways["tls"] = ssl.create_default_context(cafile=self.settings["tlscacert"])

            async def ignore(_: object = None) -> None:
                pass

            once = {"allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": 0.02}
            address = f"nats://{self.host}:{self.port}"
            client = await nats.connect(address, **once, connect_timeout=2, error_cb=ignore, **ways)
            try:
                return await work(client.jetstream(timeout=2))
            finally:
                await client.close()

        return asyncio.run(connected())

    def answers(self) -> bool:
        try:
            return bool(self.ask(lambda jetstream: jetstream.account_info()))
        except self.errors():
            return False

    def send(self, stream: str, messages: Sequence[Sent]) -> None:
        async def work(jetstream: Any) -> None:
            await jetstream.add_stream(name=stream, subjects=[f"subject.{stream}"])  # nothing, if it exists
            for first in range(0, len(messages), MANY):
                sent = []
                for payload, label in messages[first : first + MANY]:
                    headers = None if label is None else {"label": label.decode()}
                    sent.append(jetstream.publish(f"subject.{stream}", payload, headers=headers))
                await asyncio.gather(*sent)  # they are written in this order

        self.ask(work)

    def count(self, stream: str) -> int:
        return int(self.ask(lambda jetstream: jetstream.stream_info(stream)).state.messages)

    def errors(self) -> tuple[type[Exception], ...]:
        from nats.errors import Error

        return Error, OSError, asyncio.TimeoutError

    def trim(self, stream: str, keep: int) -> None:
        self.ask(lambda jetstream: jetstream.purge_stream(stream, keep=keep))

    def remove(self, stream: str) -> None:
        self.ask(lambda jetstream: jetstream.delete_stream(stream))


MANY = 100  # messages whose acknowledgements are awaited together: on a busy machine, each wait is long
NAMES = {"user": "user", "password": "pass"}
