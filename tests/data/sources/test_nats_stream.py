"""NATS JetStream: what only NATS has. test_brokers.py tests the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ddmlp.data.manifest import Manifest
from ddmlp.data.sources.nats_pull import NatsPull
from ddmlp.data.sources.registry import open_stream
from tests.data.sources.test_brokers import ingest, refusal
from tests.support.broker import raw
from tests.support.brokers import running
from tests.support.certificates import write_server_files
from tests.support.ingests import ingesting, numbers
from tests.support.nats_server import Nats
from tests.support.streams import until

pytestmark = pytest.mark.sources


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    with running("nats", tmp_path_factory.mktemp("nats")) as found:
        assert isinstance(found, Nats)
        yield found


def test_simple(server: Nats, tmp_path: Path):
    server.send("digits", raw(range(10)))
    ingest(server.uri("digits", format="raw"), tmp_path / "data", 10)
    position = Manifest.read(tmp_path / "data").position
    assert position.offsets == {"digits": "11"}
    assert position.identity.keys() == {"kind", "stream", "created"}


def test_deleted_message(server: Nats, tmp_path: Path):
    """Between messages that the server still has."""
    uri = server.uri("deleted", format="raw")
    server.send("deleted", raw(range(10)))
    ingest(uri, tmp_path / "data", 10)
    server.send("deleted", raw(range(10, 20)))
    server.ask(lambda jetstream: jetstream.delete_msg("deleted", 14))
    for _ in range(2):
        message = refusal(uri, tmp_path / "data")
        assert "gap" in message
        assert "expected the message 14" in message
    assert 10 <= len(numbers(tmp_path / "data")) <= 13


def test_requests_end(server: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The server keeps a request for messages only for a time."""
    monkeypatch.setattr("ddmlp.data.sources.nats_pull.REQUEST_SECONDS", 0.05)
    ended, take = [], NatsPull._take

    async def see(pull: NatsPull, message: Any) -> None:
        if not message.reply:
            ended.append(message.headers["Status"])
        await take(pull, message)

    monkeypatch.setattr(NatsPull, "_take", see)
    server.send("slow", raw([0]))
    with ingesting(open_stream(server.uri("slow", format="raw")), tmp_path / "data", seconds=0.01) as found:
        for count in range(1, 4):
            until(lambda count=count: found.error or numbers(tmp_path / "data") == list(range(count)))
            ended.clear()
            until(lambda: found.error or ended)
            server.send("slow", raw([count]))
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 4)
    found.raise_error()
    assert set(ended) == {"408"}


def test_consumer_is_deleted(server: Nats, tmp_path: Path):
    """The run makes another one."""
    server.send("consumed", raw(range(10)))
    with ingesting(open_stream(server.uri("consumed", format="raw")), tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 10)
        (first,) = server.ask(lambda jetstream: jetstream.consumers_info("consumed"))
        server.ask(lambda jetstream: jetstream.delete_consumer("consumed", first.name))
        server.send("consumed", raw(range(10, 20)))
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 20)
    found.raise_error()
    assert numbers(tmp_path / "data") == list(range(20))
    (second,) = server.ask(lambda jetstream: jetstream.consumers_info("consumed"))
    assert second.name != first.name


def test_no_stream(server: Nats, tmp_path: Path):
    assert "absent is no stream" in refusal(server.uri("absent"), tmp_path / "data")


def test_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "server").mkdir()
    user = {"user": "trainer", "pass": "hunter2"}
    with running("nats", tmp_path / "server", **user) as server:
        server.send("digits", raw(range(5)))
        uri = server.uri("digits", format="raw")
        monkeypatch.setenv("NATS_USER", "trainer")
        monkeypatch.setenv("NATS_PASSWORD", "other")
        message = refusal(uri, tmp_path / "data")
        assert "password" in message
        assert "other" not in message
        (tmp_path / "client").write_text("user=trainer\npassword=hunter2\n")
        ingest(server.uri("digits", format="raw", config=str(tmp_path / "client")), tmp_path / "data", 5)
        monkeypatch.setenv("NATS_PASSWORD", "hunter2")
        ingest(uri, tmp_path / "data", 5)


def test_tls(tmp_path: Path):
    (tmp_path / "server").mkdir()
    files = write_server_files(tmp_path)
    settings = {"tlscert": str(files / "tls.crt"), "tlskey": str(files / "tls.key"), "tlscacert": str(files / "ca.crt")}
    (tmp_path / "client").write_text(f"tls_ca={files}/ca.crt\n")
    with running("nats", tmp_path / "server", **settings) as server:
        server.send("digits", raw(range(5)))
        assert "certificate" in refusal(server.uri("digits", format="raw"), tmp_path / "data").lower()
        ingest(server.uri("digits", format="raw", config=str(tmp_path / "client")), tmp_path / "data", 5)
