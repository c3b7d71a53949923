"""The ingest of streams: whole, broken off, damaged, paused and stopped."""

import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.ingest import StreamIngest
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.sources import Source, open_source
from ddmlp.data.sources.byte_stream import ByteStream
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from tests.support.streams import batch, columns, ends, serving, source_of, stream, tensor, until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
NEVER = 1_000.0  # seconds: the first rows are published at once, and the next ones not while a test runs

# Does what the lines on its standard input say: so many rows, "end", or its own end without a word.
PRODUCER = """
import sys
from tests.support.streams import SCHEMA, batch
import pyarrow as pa
writer, done = pa.ipc.new_stream(sys.stdout.buffer, SCHEMA), 0
for line in sys.stdin:
    if line == "end\\n":
        writer.close()
    else:
        writer.write_batch(batch(int(line), done))
        done += int(line)
    sys.stdout.buffer.flush()
"""


@contextmanager
def ingesting(
    source: Source, path: Path, rows: int = 1, classes: int = 10, seconds: float = 1.0
) -> Iterator[StreamIngest]:
    ingest = StreamIngest(source, path, classes, rows, publish_seconds=seconds)
    ingest.start()
    try:
        yield ingest
    finally:
        ingest.stop()


def receive(content: bytes, path: Path, **options: float) -> StreamIngest:
    """Ingest a whole file; returns when it is done."""
    with source_of(content, path.with_name("stream")) as source, ingesting(source, path, **options) as ingest:
        until(lambda: ingest.ended or ingest.error)
    return ingest


def refusal(content: bytes, path: Path, **options: float) -> str:
    ingest = receive(content, path, **options)
    assert not ingest.ended
    with pytest.raises(DatasetError) as caught:
        ingest.raise_error()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All pixels (rows, m) and labels, verified."""
    dataset = Dataset(path, verify=True)
    return dataset.gather(np.arange(len(dataset)))


def numbers(path: Path) -> list[int]:
    """The numbers of the rows in a dataset, by their pixels; none where there is no dataset."""
    if not (path / NAME).exists():
        return []
    pixels, _ = read(path)
    assert (pixels == pixels[:, :1]).all()
    return pixels[:, 0].tolist()


@pytest.fixture
def pipe() -> Iterator[tuple[ByteStream, io.FileIO]]:
    """A source, and what to write into for it."""
    reader, writer = os.pipe()
    with (
        open(reader, "rb", buffering=0) as read_end,  # noqa: PTH123 - a descriptor has no path
        open(writer, "wb", buffering=0) as write_end,  # noqa: PTH123
        closing(ByteStream("pipe", read_end.fileno())) as source,
    ):
        yield source, write_end


def test_simple(tmp_path):
    """A producer in a process of its own; its rows are there while it pauses."""
    path = tmp_path / "data"
    command = [sys.executable, "-c", PRODUCER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as producer:
        with ingesting(ByteStream("pipe", producer.stdout.fileno()), path, rows=5) as ingest:
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


def test_rows_wait_until_there_are_enough(tmp_path, pipe):
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
        until(lambda: ingest.ended)
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [5, 1]


def test_a_fast_stream_has_full_shards(tmp_path):
    content = stream(*(batch(500, start) for start in range(0, 25_000, 500)))
    assert receive(content, tmp_path / "data", rows=64, seconds=NEVER).ended
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [500, 10_000, 10_000, 4_500]
    assert numbers(tmp_path / "data") == [number % 256 for number in range(25_000)]


def test_a_batch_larger_than_a_shard(tmp_path):
    assert receive(stream(batch(25_000)), tmp_path / "data", seconds=NEVER).ended
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [10_000, 10_000, 5_000]


def test_a_broken_connection_keeps_the_rows(tmp_path):
    reset = threading.Event()
    with (
        serving(stream(batch(5))[:-8], reset=reset) as address,
        ingesting(open_source(address), tmp_path / "data", rows=100) as ingest,
    ):
        until(lambda: ingest.rows == 5)
        reset.set()
        until(lambda: ingest.error)
    assert str(ingest.error) == (
        f"the stream from {address} broke off after 5 rows, without Arrow's end-of-stream marker (Connection reset by "
        "peer); the rows are kept: go on by --resume with the rest"
    )
    assert not Manifest.read(tmp_path / "data").ended
    assert numbers(tmp_path / "data") == list(range(5))


@pytest.mark.parametrize(
    ("cut", "rows"), [(-8, 7), (-7, 7), (-4, 7), (-1, 7), (-9, 3), (-200, 3), (-600, 0), (-2_000, 0)]
)
def test_a_broken_stream_keeps_its_rows(tmp_path, cut, rows):
    message = refusal(stream(batch(3), batch(4, 3))[:cut], tmp_path / "data", rows=100)
    assert message.startswith(
        f"the stream from file broke off after {rows} rows, without Arrow's end-of-stream marker (end of file); "
    )
    assert message.endswith("go on by --resume with the rest" if rows else "expected an Arrow IPC stream")
    assert numbers(tmp_path / "data") == list(range(rows))
    assert not rows or not Manifest.read(tmp_path / "data").ended


def test_a_stream_goes_on(tmp_path):
    path = tmp_path / "data"
    refusal(stream(batch(5))[:-8], path)
    refusal(stream(batch(4, 5), batch(9, 9))[:-100], path)
    assert numbers(path) == list(range(9))
    assert receive(stream(batch(2, 9)), path).ended
    assert numbers(path) == list(range(11))
    assert Manifest.read(path).ended
    message = refusal(stream(batch(1)), path)
    assert message.startswith(f"{path} has had its end marked, nothing can be added to it; ")
    assert numbers(path) == list(range(11))


def test_the_rest_may_be_the_end_alone(tmp_path):
    refusal(stream(batch(5))[:-8], tmp_path / "data")
    ingest = receive(stream(batch(0)), tmp_path / "data")
    ingest.raise_error()
    assert (ingest.rows, ingest.ended, Manifest.read(tmp_path / "data").ended) == (0, True, True)


def test_a_stream_without_rows_is_refused(tmp_path):
    for content in (stream(batch(0)), stream(batch(0), batch(0))):
        message = refusal(content, tmp_path / "data")
        assert message == "the stream from file ended without rows, expected at least one"
    assert not (tmp_path / "data").exists()


def test_a_dataset_that_does_not_fit(tmp_path):
    path = tmp_path / "data"
    receive(stream(batch(5))[:-8], path)
    other = columns(tensor(np.zeros((2, 2, 3), np.uint8)))
    assert "data has images of (2, 2) in 10 classes; found images of (2, 3) in 10" in refusal(other, path)
    assert "data has images of (2, 2) in 10 classes; found images of (2, 2) in 9" in refusal(
        stream(batch(1)), path, classes=9
    )
    with DatasetWriter(path, (2, 2), 10, extend=True):
        assert "data is being written by another process" in refusal(stream(batch(1)), path)
    assert numbers(path) == list(range(5))


def test_stopping_keeps_the_rows(tmp_path, pipe):
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
        """Nobody holds it any more."""


def test_stopping_before_anything_came(tmp_path, pipe):
    with ingesting(pipe[0], tmp_path / "data") as ingest:
        ingest.stop()
        ingest.raise_error()
    StreamIngest(ByteStream("pipe", pipe[1].fileno()), tmp_path / "data", 10, 1).stop()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("full_at", [1, 2, 3])
def test_a_full_disk(tmp_path, pipe, monkeypatch, full_at):
    """When rows are published as they come, while the stream pauses, and at the end."""
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
        until(lambda: ingest.error)
        with pytest.raises(OSError, match="No space left on device: 'shard'"):
            ingest.raise_error()
    assert (len(calls), ingest.ended) == (full_at, False)
    assert numbers(tmp_path / "data") == list(range([0, 3, 7][full_at - 1]))


@LINUX
def test_nothing_stays_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    with serving(stream(batch(5))) as address, ingesting(open_source(address), tmp_path / "data") as ingest:
        until(lambda: ingest.ended)
    refusal(b"", tmp_path / "other")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert threading.active_count() == threads
