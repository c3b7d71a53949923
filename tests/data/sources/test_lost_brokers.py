"""Brokers that are killed, that stay away, and that hang, while an ingest reads their streams."""

import signal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from ddmlp.data.sources.registry import open_stream
from tests.data.sources.test_brokers import refusal
from tests.support.broker import Server, free_port, raw
from tests.support.brokers import SERVERS
from tests.support.ingests import ingesting, numbers
from tests.support.streams import until

pytestmark = pytest.mark.sources


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_no_server(server: type[Server], tmp_path: Path):
    address = f"127.0.0.1:{free_port()}"
    assert address in refusal(f"{server.scheme}://{address}/digits", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_simple(own_server: Server, tmp_path: Path):
    """The ingest waits for it, and goes on."""
    own_server.send("digits", raw(range(50)))
    with ingesting(open_stream(own_server.uri("digits", format="raw")), tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 50)
        own_server.settle()
        own_server.kill()
        own_server.start()
        own_server.send("digits", raw(range(50, 80)))
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 80)
    found.raise_error()
    assert numbers(tmp_path / "data") == list(range(80))


def test_stays_away(own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.data.sources.broker_stream.RECONNECT_SECONDS", 0.3)
    own_server.send("digits", raw(range(5)))
    uri = own_server.uri("digits", format="raw")
    with ingesting(open_stream(uri), tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 5)
        own_server.kill()
        try:
            until(lambda: found.error)
            assert "digits" in refusal(uri, tmp_path / "data")
        finally:
            own_server.start()
    assert "5 rows" in str(found.error)


def test_hangs(own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It closes no connection, as if all packets were lost; the ingest notices, and later ones continue."""
    monkeypatch.setattr("ddmlp.data.sources.broker_stream.RECONNECT_SECONDS", 0.3)
    for part in ("stream", "connection"):
        path = f"ddmlp.data.sources.{type(own_server).__name__.lower()}_{part}"
        if find_spec(path):
            for bound in ("SECONDS", "LOOK_SECONDS", "PING_SECONDS"):
                monkeypatch.setattr(import_module(path), bound, 0.3, raising=False)
    own_server.send("digits", raw(range(5)))
    uri = own_server.uri("digits", format="raw")
    with ingesting(open_stream(uri), tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 5)
        own_server.signal(signal.SIGSTOP)
        until(lambda: found.error)
    assert "5 rows" in str(found.error)
    monkeypatch.undo()
    with ingesting(open_stream(uri), tmp_path / "data", seconds=0.01) as found:
        own_server.signal(signal.SIGCONT)
        own_server.send("digits", raw(range(5, 9)))
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 9)
    found.raise_error()
    assert numbers(tmp_path / "data") == list(range(9))
