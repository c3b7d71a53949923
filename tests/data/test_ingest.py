"""Ingest of streams: publishing rows, pausing, stopping and ending."""

import errno
import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddmlp.data import ingest as ingest_module
from ddmlp.data.dataset import Dataset
from ddmlp.data.ingest import StreamIngest
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.sources.byte_stream import ByteStream
from ddmlp.data.sources.registry import open_stream
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from tests.support.ingests import ingesting, numbers, receive, refusal
from tests.support.streams import batch, ends, serving, stream, until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
NEVER = 1_000.0  # seconds: the first rows are published at once, later ones not before the stream ends
# Reads commands from standard input: a number of rows to send, or "end". Without "end" the stream breaks off.
PRODUCER = """
import sys
from tests.support.streams import SCHEMA, batch
import pyarrow as pa
writer, done = pa.ipc.new_stream(sys.stdout.buffer, SCHEMA), 0
for line in sys.stdin:
    if line == "end\\n":
        writer.close()
        sys.stdout.close()
        break
    else:
        writer.write_batch(batch(int(line), done))
        done += int(line)
    sys.stdout.buffer.flush()
"""


@pytest.fixture
def pipe() -> Iterator[tuple[ByteStream, io.FileIO]]:
    """A source, and the file from which it reads what is written."""
    reader, writer = os.pipe()
    with (
        open(reader, "rb", buffering=0) as read_end,  # noqa: PTH123 - a descriptor has no path
        open(writer, "wb", buffering=0) as write_end,  # noqa: PTH123
        closing(ByteStream("pipe", read_end.fileno())) as source,
    ):
        yield source, write_end


def test_simple(tmp_path):
    """The producer is another process; its rows are published while it pauses."""
    path = tmp_path / "data"
    command = [sys.executable, "-c", PRODUCER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as producer:
        with ingesting(ByteStream("pipe", producer.stdout.fileno()), path, rows=5, seconds=0.02) as ingest:
            producer.stdin.write(b"7\n")
            producer.stdin.flush()
            until((path / NAME).exists)
            dataset = Dataset(path)
            assert len(dataset) == 7
            producer.stdin.write(b"5\n")
            producer.stdin.flush()
            until(dataset.grow)
            assert len(dataset) == 12
            assert not dataset.manifest.ended
            producer.stdin.write(b"3\nend\n")
            producer.stdin.flush()
            until(lambda: ingest.ended)
            ingest.raise_error()
        producer.stdin.close()
    dataset.grow()
    assert (ingest.rows, len(dataset), dataset.manifest.ended) == (15, 15, True)
    assert numbers(path) == list(range(15))


def test_waits_for_enough_rows(tmp_path, pipe):
    source, out = pipe
    content = stream(batch(3), batch(2, 3), batch(1, 5))
    with ingesting(source, tmp_path / "data", rows=5, seconds=0.01) as ingest:
        first, second, _ = ends(content)
        out.write(content[:first])
        until(lambda: ingest.rows == 3)
        assert not (tmp_path / "data" / NAME).exists()
        out.write(content[first:second])
        until((tmp_path / "data" / NAME).exists)
        assert numbers(tmp_path / "data") == list(range(5))
        out.write(content[second:])
        out.close()
        until(lambda: ingest.ended)
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [5, 1]


def test_fast_stream(tmp_path):
    content = stream(*(batch(500, start) for start in range(0, 25_000, 500)))
    assert receive(content, tmp_path / "data", rows=64, seconds=NEVER).ended
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [500, 10_000, 10_000, 4_500]
    assert numbers(tmp_path / "data") == [number % 256 for number in range(25_000)]


def test_large_batch(tmp_path):
    assert receive(stream(batch(25_000)), tmp_path / "data", seconds=NEVER).ended
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [10_000, 10_000, 5_000]


def test_stop_keeps_rows(tmp_path, pipe):
    source, out = pipe
    content = stream(batch(3), batch(4, 3))
    with ingesting(source, tmp_path / "data", rows=100) as ingest:
        out.write(content[:-50])  # into the middle of the second record batch
        until(lambda: ingest.rows == 3)
        assert not (tmp_path / "data" / NAME).exists()
        for _ in range(2):
            ingest.stop()
            ingest.raise_error()
    assert numbers(tmp_path / "data") == [0, 1, 2]
    assert not ingest.ended
    assert not Manifest.read(tmp_path / "data").ended
    with DatasetWriter(tmp_path / "data", (2, 2), 10, extend=True):
        """The folder is unlocked."""


def test_stop_before_any_row(tmp_path, pipe):
    with ingesting(pipe[0], tmp_path / "data") as ingest:
        ingest.stop()
        ingest.raise_error()
    StreamIngest(ByteStream("pipe", pipe[1].fileno()), tmp_path / "data", 10, 1).stop()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("full_at", [1, 2, 3])
def test_full_disk(tmp_path, pipe, monkeypatch, full_at):
    """Publishing fails as rows arrive, while the stream pauses, or at the end."""
    calls, publish = [], DatasetWriter.publish

    def fail(writer: DatasetWriter) -> None:
        calls.append(writer)
        if len(calls) == full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "shard")
        publish(writer)

    monkeypatch.setattr(DatasetWriter, "publish", fail)
    content = stream(batch(3), batch(4, 3))
    source, out = pipe
    with ingesting(source, tmp_path / "data", seconds=0.05) as ingest:
        out.write(content[:-8])
        until(lambda: ingest.error or len(calls) == 2)
        out.write(content[-8:])
        out.close()
        until(lambda: ingest.error)
        with pytest.raises(DatasetError, match=f"shard: No space left .* {[0, 3, 7][full_at - 1]} rows"):
            ingest.raise_error()
    assert (len(calls), ingest.ended) == (full_at, False)
    assert numbers(tmp_path / "data") == list(range([0, 3, 7][full_at - 1]))


def test_nearly_full_disk(tmp_path, monkeypatch):
    """The ingest stops before the disk is full, and keeps the rows received until then."""
    left = [ingest_module.SPARE_BYTES + 12] * 2 + [ingest_module.SPARE_BYTES + 11]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=left.pop(0)))
    content = stream(batch(3), batch(3, 3), batch(3, 6), batch(3, 9))
    message = refusal(content, tmp_path / "data", seconds=NEVER)
    assert "6 rows" in message
    assert f"{ingest_module.SPARE_BYTES + 11:,}" in message
    assert numbers(tmp_path / "data") == list(range(6))
    monkeypatch.undo()
    assert receive(content, tmp_path / "data").ended
    assert numbers(tmp_path / "data") == list(range(12))


@LINUX
def test_nothing_left_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    with serving(stream(batch(5))) as address, ingesting(open_stream(address), tmp_path / "data") as ingest:
        until(lambda: ingest.ended)
    refusal(b"", tmp_path / "other")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert threading.active_count() == threads


@pytest.mark.parametrize(("counts", "expected"), [((100, 200), "the first 100 rows is 99"), ((200, 100), None)])
def test_warns_of_unusual_pixels(tmp_path, counts, expected):
    """The pixels of row n are n, so the first record batch has only dark pixels if it is small."""
    first, second = counts
    notes: list[str] = []
    receive(stream(batch(first), batch(second, first)), tmp_path / "data", notes=notes)
    assert [expected in note for note in notes] == [True] * (expected is not None)
