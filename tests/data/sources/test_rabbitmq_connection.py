"""Connections to RabbitMQ: servers that are silent, gone or elsewhere, users and TLS."""

import signal
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ddmlp.data.sources import rabbitmq_connection
from ddmlp.data.sources.broker_stream import BrokerStream, Disconnected
from ddmlp.data.sources.rabbitmq_connection import RabbitConnection
from ddmlp.data.sources.rabbitmq_stream import RabbitBroker
from ddmlp.data.sources.registry import open_stream
from ddmlp.data.sources.stream_uri import StreamUri
from tests.data.sources.test_brokers import ingest, refusal
from tests.support.broker import raw
from tests.support.ingests import ingesting, numbers
from tests.support.rabbitmq_server import RabbitMQ, messages_in
from tests.support.streams import until

pytestmark = [pytest.mark.sources, pytest.mark.xdist_group("rabbitmq")]


def test_removed(rabbitmq: RabbitMQ, tmp_path: Path):
    """The stream is removed while it is read."""
    rabbitmq.send("removed", raw(range(5)))
    with ingesting(open_stream(rabbitmq.uri("removed", format="raw")), tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 5)
        rabbitmq.remove("removed")
        until(lambda: found.error)
    assert "removed is no stream" in str(found.error)


def test_corrupt_chunk(rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A bit of a message is wrong on the server's disk."""
    monkeypatch.setattr(rabbitmq_connection, "SECONDS", 0.5)
    rabbitmq.send("corrupt", raw(range(10)))
    segments = rabbitmq.folder_of("corrupt").glob("*.segment")
    newest = max(each for each in segments if messages_in(each.read_bytes()))
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    message = refusal(rabbitmq.uri("corrupt", format="raw"), tmp_path / "data")
    assert "checksum" in message


def test_silent_server(rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A server that does not answer is asked, and then connected to again."""
    monkeypatch.setattr(rabbitmq_connection, "PING_SECONDS", 0.0)
    monkeypatch.setattr(rabbitmq_connection, "SECONDS", 0.5)
    again, reconnect = threading.Event(), BrokerStream._reconnect
    monkeypatch.setattr(BrokerStream, "_reconnect", lambda *given: again.set() or reconnect(*given))
    rabbitmq.send("asleep", raw(range(5)))
    with ingesting(open_stream(rabbitmq.uri("asleep", format="raw")), tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 5)
        rabbitmq.signal(signal.SIGSTOP)
        try:
            assert again.wait(30)
        finally:
            rabbitmq.signal(signal.SIGCONT)
        rabbitmq.send("asleep", raw(range(5, 9)))
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 9)
    found.raise_error()
    assert numbers(tmp_path / "data") == list(range(9))


def test_unanswered_look_up(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch):
    """Its subscription may still exist, so nothing is looked up until there is another connection."""
    rabbitmq.send("unanswered", raw(range(5)))
    with closing(RabbitBroker(StreamUri.parse(rabbitmq.uri("unanswered"), "", 1, ()))) as broker:
        position = broker.open(None)
        rabbitmq.signal(signal.SIGSTOP)
        monkeypatch.setattr(rabbitmq_connection, "SECONDS", 0.5)
        try:
            with pytest.raises(Disconnected):
                broker.unread()
        finally:
            monkeypatch.undo()
            rabbitmq.signal(signal.SIGCONT)
        with pytest.raises(Disconnected, match="does not answer"):
            broker.unread()
        broker.open(position)
        assert broker.unread() >= 5


def test_another_server(rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The server that the URI names does not have the stream, but another one of its cluster."""
    from rstream.client import Client
    from rstream.schema import Broker

    places, connect = list[tuple[str, int]](), RabbitConnection._connect

    async def find(*_: object) -> tuple[Broker, list[Broker]]:
        return Broker(0, "nowhere.invalid", 1), [Broker(1, "127.0.0.1", rabbitmq.port)]

    async def note(self: RabbitConnection, *place: Any) -> None:
        places.append(place)
        await connect(self, *place)

    rabbitmq.send("elsewhere", raw(range(5)))
    monkeypatch.setattr(Client, "query_leader_and_replicas", find)
    monkeypatch.setattr(RabbitConnection, "_connect", note)
    ingest(rabbitmq.uri("elsewhere", format="raw").replace("127.0.0.1", "localhost"), tmp_path / "data", 5)
    assert places == [("localhost", rabbitmq.port), ("127.0.0.1", rabbitmq.port)]


def test_no_stream(rabbitmq: RabbitMQ, tmp_path: Path):
    assert "absent is no stream" in refusal(rabbitmq.uri("absent"), tmp_path / "data")


def test_password(rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rabbitmq.send("secret", raw(range(5)))
    uri = rabbitmq.uri("secret", format="raw")
    monkeypatch.setenv("RABBITMQ_USERNAME", "trainer")
    monkeypatch.setenv("RABBITMQ_PASSWORD", "other")
    message = refusal(uri, tmp_path / "data")
    assert "password" in message
    assert "other" not in message
    (tmp_path / "client").write_text("username=trainer\npassword=hunter2\nreference=mine\n")
    ingest(rabbitmq.uri("secret", format="raw", config=str(tmp_path / "client")), tmp_path / "data", 5)
    assert rabbitmq.ask(lambda client: client.query_offset("secret", "mine")) >= 4
    monkeypatch.setenv("RABBITMQ_PASSWORD", "hunter2")
    ingest(uri, tmp_path / "data", 5)
    assert "user" in refusal(rabbitmq.uri("secret", format="raw", vhost="other"), tmp_path / "new")


def test_tls(rabbitmq: RabbitMQ, tmp_path: Path):
    rabbitmq.send("tls", raw(range(5)))
    port = rabbitmq.settings["stream.listeners.ssl.1"].partition(":")[2]
    uri = f"rabbitmq-stream+tls://127.0.0.1:{port}/tls?format=raw"
    assert "certificate" in refusal(uri, tmp_path / "data").lower()
    authority = Path(rabbitmq.settings["ssl_options.cacertfile"])
    (tmp_path / "client").write_text(f"tls_ca={authority}\n")
    ingest(f"{uri}&config={tmp_path}/client", tmp_path / "data", 5)
