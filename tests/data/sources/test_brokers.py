"""Streams in brokers: each row of real servers arrives exactly once, and what is lost is named."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmlp.data.manifest import Manifest
from ddmlp.data.quarantine import Quarantine
from ddmlp.data.sources import PositionedSource
from ddmlp.data.sources.registry import open_stream
from ddmlp.errors import DatasetError
from tests.support.broker import Server, raw
from tests.support.ingests import ingesting, numbers, read
from tests.support.streams import batch, stream, until

pytestmark = pytest.mark.sources
names = (f"rows-{number}" for number in itertools.count())


@pytest.fixture
def name() -> str:
    """The name of a stream that no other test has."""
    return f"{next(names)}"


def ingest(uri: str, path: Path, rows: int, quarantine: Quarantine | None = None) -> None:
    """Ingest until the dataset has so many rows."""
    with ingesting(open_stream(uri), path, seconds=0.01, quarantine=quarantine) as found:
        until(lambda: found.error or (path.exists() and len(numbers(path)) >= rows))
        found.stop()
        found.raise_error()


def refusal(uri: str, path: Path, quarantine: Quarantine | None = None) -> str:
    with ingesting(open_stream(uri), path, seconds=0.01, quarantine=quarantine) as found:
        until(lambda: found.error)
    with pytest.raises(DatasetError) as caught:
        found.raise_error()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_simple(server: Server, name: str, tmp_path: Path):
    """The second ingest reads what the first one has left, and what was sent meanwhile."""
    server.send(name, raw(range(100)))
    uri = server.uri(name, format="raw")
    assert isinstance(open_stream(uri), PositionedSource)
    ingest(uri, tmp_path / "data", 100)
    assert numbers(tmp_path / "data") == list(range(100))
    first = Manifest.read(tmp_path / "data").position
    server.send(name, raw(range(100, 130)))
    ingest(uri, tmp_path / "data", 130)
    assert numbers(tmp_path / "data") == list(range(130))
    second = Manifest.read(tmp_path / "data").position
    assert first
    assert second
    assert (first.identity, first.bad_rows) == (second.identity, 0)
    assert first.offsets.keys() == second.offsets.keys()
    assert first.offsets != second.offsets


def png(number: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((2, 2), number, np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("form", ["arrow", "json", "png"])
def test_formats(server: Server, name: str, tmp_path: Path, form: str):
    messages = {
        "arrow": [(stream(batch(7), batch(5, 7)), None), (stream(batch(8, 12)), None)],
        "json": [(json.dumps({"pixels": [n] * 4, "label": n % 10}).encode(), None) for n in range(20)],
        "png": [(png(number), str(number % 10).encode()) for number in range(20)],
    }[form]
    server.send(name, messages)
    ingest(server.uri(name, format=form), tmp_path / "data", 20)
    assert numbers(tmp_path / "data") == list(range(20))
    assert read(tmp_path / "data")[1].tolist() == [number % 10 for number in range(20)]


def test_rows_sent_later(server: Server, name: str, tmp_path: Path):
    server.send(name, raw([0]))
    with ingesting(open_stream(server.uri(name, format="raw")), tmp_path / "data", seconds=0.01) as found:
        for count in range(1, 4):
            until(lambda count=count: found.error or numbers(tmp_path / "data") == list(range(count)))
            server.send(name, raw([count]))
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 4)
    found.raise_error()


def test_gap(server: Server, name: str, tmp_path: Path):
    """The server has dropped messages that were not read yet."""
    uri = server.uri(name, format="raw")
    server.send(name, raw(range(10)))
    ingest(uri, tmp_path / "data", 10)
    server.send(name, raw(range(10, 30)))
    server.trim(name, 15)
    assert "gap" in refusal(uri, tmp_path / "data")
    assert numbers(tmp_path / "data") == list(range(10))


def test_dropped_but_read(server: Server, name: str, tmp_path: Path):
    """Messages that were read may be dropped."""
    uri = server.uri(name, format="raw")
    server.send(name, raw(range(10)))
    ingest(uri, tmp_path / "data", 10)
    server.send(name, raw(range(10, 30)))
    server.trim(name, 20 + server.spare)
    ingest(uri, tmp_path / "data", 30)
    assert numbers(tmp_path / "data") == list(range(30))


def test_begins_with_oldest(server: Server, name: str, tmp_path: Path):
    uri = server.uri(name, format="raw")
    server.send(name, raw(range(10)))
    server.trim(name, 4)
    ingest(uri, tmp_path / "data", 4)
    assert numbers(tmp_path / "data") == [6, 7, 8, 9]


@pytest.mark.parametrize("count", [5, 10, 20])
def test_made_again(server: Server, name: str, tmp_path: Path, count: int):
    """Another stream has the name now, also with as many messages, or more."""
    uri = server.uri(name, format="raw")
    server.send(name, raw(range(10)))
    ingest(uri, tmp_path / "data", 10)
    server.remove(name)
    server.send(name, raw(range(count)))
    assert "start a new run" in refusal(uri, tmp_path / "data")
    assert numbers(tmp_path / "data") == list(range(10))


def test_another_stream(server: Server, name: str, tmp_path: Path):
    server.send(name, raw(range(10)))
    ingest(server.uri(name, format="raw"), tmp_path / "data", 10)
    server.send(f"{name}-b", raw(range(10)))
    assert name in refusal(server.uri(f"{name}-b", format="raw"), tmp_path / "data")


def test_bad_rows(server: Server, name: str, tmp_path: Path):
    """Each is recorded once, whatever was read twice; the file has no rows that the position does not count."""
    uri, folder = server.uri(name, format="raw"), tmp_path / "bad"
    server.send(name, [*raw(range(3)), (b"12345", b"1"), (b"1234", b"10"), *raw(range(3, 6))])
    ingest(uri, tmp_path / "data", 6, Quarantine(folder, 5))
    assert Manifest.read(tmp_path / "data").position.bad_rows == 2
    with (folder / "bad-rows.jsonl").open("a") as file:
        file.write('{"number": 3}\n')  # as of a run that was killed before it published the row
    server.send(name, [(b"1", None), *raw([6])])
    ingest(uri, tmp_path / "data", 7, Quarantine(folder, 5))
    assert numbers(tmp_path / "data") == list(range(7))
    lines = [json.loads(line) for line in (folder / "bad-rows.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3]
    assert [line["label"] for line in lines] == ["1", "10", None]
    assert len({line["offset"] for line in lines}) == 3


def test_too_many_bad_rows(server: Server, name: str, tmp_path: Path):
    uri = server.uri(name, format="raw")
    server.send(name, [*raw(range(3)), (b"1", b"1"), *raw([3]), (b"1", b"1"), *raw([4])])
    message = refusal(uri, tmp_path / "data", Quarantine(tmp_path / "bad", 1))
    assert "at most 1" in message
    assert "partition" in message
    assert numbers(tmp_path / "data") == [0, 1, 2, 3]
    ingest(uri, tmp_path / "data", 5, Quarantine(tmp_path / "bad", 2))
    assert numbers(tmp_path / "data") == list(range(5))


def test_without_quarantine(server: Server, name: str, tmp_path: Path):
    server.send(name, [*raw(range(3)), (b"12345", b"1"), *raw(range(3, 6))])
    for _ in range(2):  # nothing is passed over by trying again
        message = refusal(server.uri(name, format="raw"), tmp_path / "data")
        assert "5 bytes" in message
        assert "offset" in message
        assert numbers(tmp_path / "data") == [0, 1, 2]


def test_backpressure(server: Server, name: str, tmp_path: Path):
    """Rows that are not trained on stay in the server."""
    server.send(name, raw(range(5_000)))
    options = {"rows": 10, "seconds": 0.01, "spool_bytes": 4 * 30}
    with ingesting(open_stream(server.uri(name, format="raw")), tmp_path / "data", **options) as found:
        until(lambda: found.error or found.waits)
        assert 30 <= len(numbers(tmp_path / "data")) == found.rows < 2_500
        found.trained = 5_000
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 5_000)
        assert found.waits == 1
    found.raise_error()
    assert numbers(tmp_path / "data") == [number % 256 for number in range(5_000)]
