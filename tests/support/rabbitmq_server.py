"""A RabbitMQ server with streams."""

import asyncio
import os
import struct
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.broker import Sent, Server, free_port, wait_until

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # Debian's script in the PATH changes the user
FEW = 30  # messages that are sent one by one, so that each is a chunk; they begin a stream that can be trimmed
HEADER = 8  # bytes of a segment before its chunks
CHUNK = struct.Struct(">xBxxI28xII4x")  # its kind, messages, bytes, bytes of a trailer
FRAME_BYTES = 1 << 19  # that are sent at a time; RabbitMQ allows twice as many
SEGMENT = 150  # bytes, so that nearly each chunk is a segment, and may be dropped alone


class RabbitMQ(Server):
    """A RabbitMQ server that stores on disk. It is alone, with a port mapper of its own."""

    scheme, install = "rabbitmq-stream", "rabbitmq-server"
    spare = 1
    program = str(PROGRAM) if PROGRAM.exists() else "rabbitmq-server"

    def __init__(self, folder: Path, host: str = "127.0.0.1", **settings: str) -> None:
        super().__init__(folder, host, **settings)
        self.settings |= {"listeners.tcp": "none", "stream.listeners.tcp.1": f"{host}:{self.port}"}
        self.settings["loopback_users"] = "none"  # so that all may come from another network
        self._streams = set[str]()
        self._mapper: subprocess.Popen[bytes] | None = None
        self._ports = free_port(), free_port()
        self._node = f"test{self.port}@localhost"
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._ports[0]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",  # none
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._ports[1]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "flags"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "detached": "yes",  # its script becomes the server
        }

    def command(self) -> list[str]:
        return [self.program]

    def start(self) -> None:
        (self.folder / "plugins").write_text("[rabbitmq_stream].")
        lines = [f"{name} = {value}\n" for name, value in self.settings.items()]
        (self.folder / "rabbitmq.conf").write_text("".join(lines))
        with (self.folder / "log").open("ab") as log:
            quiet: dict[str, Any] = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL}
            mapper = ["epmd", "-port", str(self._ports[0]), "-address", "127.0.0.1"]
            self._mapper = subprocess.Popen(mapper, **quiet)
            self._process = subprocess.Popen(self.command(), env=self._environment, **quiet)
        wait_until(self.answers, self._process)
        # The process that creates streams is registered by now, in a table on disk that is written some time later.
        self.call("lists:foreach(fun dets:sync/1, dets:all()).\n")

    def kill(self) -> None:
        super().kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None

    def ask(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run a function of a client."""
        from rstream.client import Client

        async def connected() -> Any:
            client = Client(
                self.host, self.port, frame_max=1 << 20, heartbeat=0, connection_closed_handler=lambda _: None
            )
            user = self.settings.get("default_user", "guest"), self.settings.get("default_pass", "guest")
            try:
                await client.start()
                await client.authenticate("/", *user)
                return await asyncio.wait_for(work(client), 5)
            finally:  # `close` waits
                for task in ("heartbeat_sender", "listener"):
                    await client.stop_task(task)
                await client._conn.close()

        return asyncio.run(connected())

    def answers(self) -> bool:
        from rstream.exceptions import LeaderNotAvailable, StreamAlreadyExists

        async def work(client: Any) -> None:
            with suppress(StreamAlreadyExists):
                await client.create_stream("ready")
            for stream in self._streams:
                await client.query_leader_and_replicas(stream)

        try:
            self.ask(work)
        except (*self.errors(), LeaderNotAvailable):
            return False
        return True

    def send(self, stream: str, messages: Sequence[Sent]) -> None:
        from rstream import schema

        async def work(client: Any) -> None:
            confirmed, arrived = set[int](), asyncio.Event()

            def confirm(frame: Any) -> None:
                confirmed.update(frame.publishing_ids)
                arrived.set()

            if not await client.stream_exists(stream):
                small = {"stream-max-segment-size-bytes": SEGMENT} if len(messages) <= FEW else None
                await client.create_stream(stream, small)
            client.add_handler(schema.PublishConfirm, confirm)
            await client.declare_publisher(stream, "test", 1)
            first = 1 + await client.query_publisher_sequence(stream, "test")
            numbered = [schema.Message(number, None, encoded(*each)) for number, each in enumerate(messages, first)]
            step = 1 if len(messages) <= FEW else max(1, FRAME_BYTES // max(len(each.data) for each in numbered))
            for begin in range(0, len(messages), step):
                await client.publish(numbered[begin : begin + step], 1)
                while len(confirmed) < min(begin + step, len(messages)):
                    arrived.clear()
                    await arrived.wait()

        self._streams.add(stream)
        self.ask(work)

    def count(self, stream: str) -> int:
        return int(self.ask(lambda client: client.query_publisher_sequence(stream, "test")))

    def errors(self) -> tuple[type[Exception], ...]:
        from rstream.exceptions import ServerError

        return ServerError, OSError, asyncio.TimeoutError

    def trim(self, stream: str, keep: int) -> None:
        """Let the server drop its oldest segments, whose chunks have the other messages."""
        kept = size = 0
        dropped = list[Path]()
        for segment in sorted(self.folder_of(stream).glob("*.segment"), reverse=True):
            content = segment.read_bytes()
            if kept >= keep:
                dropped.append(segment)
            else:
                size += len(content)
            kept += messages_in(content)
        leader = (
            f'{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{stream}">>)), '
            "#{leader_pid := Leader} = amqqueue:get_type_state(Queue), "
        )
        self.call(f"{leader} osiris:update_retention(Leader, [{{max_bytes, {size + SEGMENT - 1}}}]).\n")
        assert self._process
        wait_until(lambda: not any(each.exists() for each in dropped), self._process)
        self.call(f"{leader} osiris:update_retention(Leader, []).\n")

    def folder_of(self, stream: str) -> Path:
        (found,) = (self.folder / "data" / self._node / "stream").glob(f"__{stream}_*")
        return found

    def add_user(self, name: str, password: str) -> None:
        user = f'<<"{name}">>, <<"{password}">>, <<"test">>'
        rights = f'<<"{name}">>, <<"/">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>'
        self.call(
            f"rabbit_auth_backend_internal:add_user({user}), rabbit_auth_backend_internal:set_permissions({rights}).\n"
        )

    def call(self, expression: str) -> None:
        """Let the server compute an expression of Erlang."""
        words = ["erl_call", "-n", self._node, "-e"]
        done = subprocess.run(words, input=expression.encode(), env=self._environment, capture_output=True, check=True)
        assert done.stdout == b"{ok, ok}", done

    def remove(self, stream: str) -> None:
        self._streams.discard(stream)
        self.ask(lambda client: client.delete_stream(stream))


def encoded(payload: bytes, label: bytes | None) -> bytes:
    """A message of AMQP 1.0."""
    from rstream import AMQPMessage

    return bytes(AMQPMessage(body=payload, application_properties=None if label is None else {"label": label.decode()}))


def messages_in(segment: bytes) -> int:
    """The number of messages in a segment, without RabbitMQ's own records."""
    found, at = 0, HEADER
    while at < len(segment):
        kind, count, size, trailer = CHUNK.unpack_from(segment, at)
        found += 0 if kind else count
        at += CHUNK.size + size + trailer
    return found
