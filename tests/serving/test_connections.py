"""Clients that connect and send little or nothing do not block others."""

import asyncio
import resource
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from unittest import mock

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from ddmlp.serving import connections
from ddmlp.serving.connections import FILES, MAX_CONNECTIONS, BoundedConnection, most_connections
from tests.support.servers import JSON

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
BEGIN = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: 999\r\n\r\n[".encode()


@pytest.fixture
def connect(server) -> Iterator[Callable[[int, bytes], list[socket.socket]]]:
    """Opens connections, and sends the same bytes on each."""
    with ExitStack() as stack:

        def connect(count: int, sent: bytes) -> list[socket.socket]:
            opened = [stack.enter_context(socket.create_connection(server.address, timeout=60)) for _ in range(count)]
            for each in opened:
                each.sendall(sent)
            return opened

        yield connect


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", HEAD, BEGIN], ids=["nothing", "half a head", "one byte of a body"])
def test_idle_clients(server, digits, connect, sent):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        opened = connect(1_100, sent)
        assert server.predict(digits[0].tolist()).status == 200
        poll = select.poll()
        for each in opened:
            poll.register(each, select.POLLIN)
        gone = len(poll.poll(0))
        assert 1_100 - MAX_CONNECTIONS <= gone < 1_100  # the others still wait, so the answer did not wait for them
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def app(scope, receive, send) -> None:
    """Read the body, and answer with the path."""
    while (await receive()).get("more_body"):
        pass
    body = scope["path"].encode() * (100_000 if scope["path"] == "/large" else 1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Transport(asyncio.Transport):
    """A transport without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.aborted = b"", False

    def write(self, data: bytes) -> None:
        self.sent += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        pass

    resume_reading = close = pause_reading


class Clocks:
    """Replaces the loop's call_later, and records the timers."""

    def __init__(self) -> None:
        self.running: dict[mock.Mock, tuple[float, Callable[..., object]]] = {}

    def call_later(self, seconds: float, call: Callable[..., object]) -> mock.Mock:
        handle = mock.Mock()
        handle.cancel.side_effect = lambda: self.running.pop(handle, None)
        self.running[handle] = seconds, call
        return handle

    def seconds(self) -> list[float]:
        return sorted(seconds for seconds, _ in self.running.values())


def test_clocks():
    async def run() -> None:
        loop, clocks = asyncio.get_running_loop(), Clocks()
        config = Config(app, ws="none", timeout_keep_alive=5)
        with mock.patch.object(loop, "call_later", clocks.call_later):
            connection, transport = BoundedConnection(config, ServerState(), {}), Transport()
            connection.connection_made(transport)
            assert clocks.seconds() == [connections.HEAD_SECONDS]
            connection.data_received(HEAD)  # unfinished
            assert clocks.seconds() == [connections.HEAD_SECONDS]
            connection.data_received(b"\r\n")
            assert (clocks.seconds(), connection.waits) == ([], False)
            while not transport.sent.endswith(b"/"):
                await asyncio.sleep(0)
            assert (clocks.seconds(), connection.waits) == ([5, connections.HEAD_SECONDS], True)
            connection.data_received(HEAD + b"\r\n" + HEAD + b"\r\n")  # the second arrives before the first answer
            assert (clocks.seconds(), connection.waits) == ([], False)
            while transport.sent.count(b"200 OK") < 3:
                await asyncio.sleep(0)
            connection.pause_writing()
            assert connections.WRITE_SECONDS in clocks.seconds()
            connection.resume_writing()
            assert connections.WRITE_SECONDS not in clocks.seconds()
            connection.connection_lost(None)
            assert clocks.seconds() == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [(resource.RLIM_INFINITY, MAX_CONNECTIONS), (1024, MAX_CONNECTIONS), (600, 600 - FILES), (256, 128)],
)
def test_few_files(monkeypatch, allowed, expected):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    assert most_connections() == expected
