"""Streams in brokers: when messages were sent, and how many are not read yet."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from ddmlp.data import ingest as ingest_module
from ddmlp.data.manifest import Manifest
from ddmlp.data.sources.registry import open_stream
from tests.support.broker import Server, raw
from tests.support.ingests import ingesting, numbers
from tests.support.streams import batch, stream, until

pytestmark = pytest.mark.sources


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker is asked as often as possible."""
    monkeypatch.setattr(ingest_module, "LOOK_SECONDS", 0.0)


def test_simple(server: Server, tmp_path: Path):
    """Shards and position have the times at which their last messages were sent."""
    path, moments = tmp_path / "data", [milliseconds()]
    for count in (10, 20, 30):
        server.send("times", raw(range(count - 10, count)))
        moments.append(milliseconds())
        with ingesting(open_stream(server.uri("times", format="raw")), path, seconds=0.01) as found:
            until(lambda count=count: found.error or len(numbers(path)) == count)
        found.raise_error()
    data = Manifest.read(path)
    for (before, after), rows in zip(pairwise(moments), (10, 20, 30), strict=True):
        assert before - 1 <= data.time_at(rows) <= after
    assert data.time_at(0) is None
    assert data.time_at(30) == data.position.time


def test_end(server: Server, tmp_path: Path):
    """Rows that are not trained on stay in the server, which says how many although nothing is read."""
    path = tmp_path / "data"
    server.send("end", raw(range(3_000)))
    options = {"rows": 10, "seconds": 0.01, "spool_bytes": 4 * 30}
    with ingesting(open_stream(server.uri("end", format="raw")), path, **options) as found:
        until(lambda: found.error or (found.waits and found.end and found.end.messages))
        assert (found.end.rows, found.end.messages) == (3_000, 3_000 - found.rows)
        server.send("end", raw(range(500)))
        until(lambda: found.error or found.end.rows >= 3_500)  # RabbitMQ's own records count, too
        found.trained = 3_500
        until(lambda: found.error or found.end.messages == 0)
        assert (found.end.rows, found.rows) == (3_500, 3_500)
    found.raise_error()


def test_messages_of_many_rows(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The rows of a stream of Arrow messages are known once all messages are read."""
    server.send("arrow", [(stream(batch(7)), None), (stream(batch(5, 7)), None)])
    source = open_stream(server.uri("arrow"))
    with ingesting(source, tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or (found.end and found.end.rows == 12))
        assert found.end.messages == 0
        monkeypatch.setattr(source._broker, "unread", lambda: 3)
        until(lambda: found.error or found.end.messages == 3)
        assert found.end.rows is None
    found.raise_error()


def test_broker_is_away(own_server: Server, tmp_path: Path):
    """What it said last is not said any more."""
    own_server.send("away", raw(range(5)))
    with ingesting(open_stream(own_server.uri("away", format="raw")), tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or (found.end and found.end.rows == 5))
        own_server.settle()
        own_server.kill()
        until(lambda: found.error or found.end is None)
        own_server.start()
        until(lambda: found.error or (found.end and found.end.rows == 5))
    found.raise_error()


def milliseconds() -> int:
    return int(time.time() * 1000)
