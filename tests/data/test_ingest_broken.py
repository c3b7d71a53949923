"""Streams that break off, resume, or have another form: the rows received are kept."""

import threading

import numpy as np
import pytest

from ddmlp.data.manifest import Manifest
from ddmlp.data.sources.registry import open_stream
from ddmlp.data.writer import DatasetWriter
from tests.support.ingests import ingesting, numbers, receive, refusal
from tests.support.streams import batch, columns, serving, stream, tensor, until


def test_connection_reset(tmp_path):
    reset = threading.Event()
    with (
        serving(stream(batch(5))[:-8], reset=reset) as address,
        ingesting(open_stream(address), tmp_path / "data", rows=100) as ingest,
    ):
        until(lambda: ingest.rows == 5)
        reset.set()
        until(lambda: ingest.error)
    for part in (address, "5 rows", "Connection reset by peer", "resume"):
        assert part in str(ingest.error)
    assert not Manifest.read(tmp_path / "data").ended
    assert numbers(tmp_path / "data") == list(range(5))


@pytest.mark.parametrize(
    ("cut", "rows"), [(-8, 7), (-7, 7), (-4, 7), (-1, 7), (-9, 3), (-200, 3), (-600, 0), (-2_000, 0)]
)
def test_truncated_stream(tmp_path, cut, rows):
    message = refusal(stream(batch(3), batch(4, 3))[:cut], tmp_path / "data", rows=100)
    assert f"broke off after {rows} rows" in message
    assert ("resume the run" in message) == (rows > 0)
    assert numbers(tmp_path / "data") == list(range(rows))
    assert not rows or not Manifest.read(tmp_path / "data").ended


def test_resumed_stream(tmp_path):
    path = tmp_path / "data"
    refusal(stream(batch(5))[:-8], path)
    refusal(stream(batch(4, 5), batch(9, 9))[:-100], path)
    assert numbers(path) == list(range(9))
    assert receive(stream(batch(2, 9)), path).ended
    assert numbers(path) == list(range(11))
    assert Manifest.read(path).ended
    message = refusal(stream(batch(1, 11)), path)
    assert message.startswith(f"{path} ")
    assert "--overwrite" in message
    assert numbers(path) == list(range(11))


def test_resumed_with_end_only(tmp_path):
    refusal(stream(batch(5))[:-8], tmp_path / "data")
    ingest = receive(stream(batch(0)), tmp_path / "data")
    ingest.raise_error()
    assert (ingest.rows, ingest.ended, Manifest.read(tmp_path / "data").ended) == (0, True, True)


def test_no_rows(tmp_path):
    for content in (stream(batch(0)), stream(batch(0), batch(0))):
        message = refusal(content, tmp_path / "data")
        assert message.startswith("the stream from file ended without rows")
    assert not (tmp_path / "data").exists()


def test_dataset_of_another_form(tmp_path):
    path = tmp_path / "data"
    receive(stream(batch(5))[:-8], path)
    other = columns(tensor(np.zeros((2, 2, 3), np.uint8)))
    assert "data has images of (2, 2) in 10 classes; found images of (2, 3) in 10" in refusal(other, path)
    assert "data has images of (2, 2) in 10 classes; found images of (2, 2) in 9" in refusal(
        stream(batch(1, 5)), path, classes=9
    )
    with DatasetWriter(path, (2, 2), 10, extend=True):
        assert "another process" in refusal(stream(batch(1, 5)), path)
    assert numbers(path) == list(range(5))
