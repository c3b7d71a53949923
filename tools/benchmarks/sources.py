"""Speed of reading streams of message brokers, compared with their client libraries alone."""

import io
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.data.ingest import StreamIngest
from ddmlp.data.manifest import Manifest
from ddmlp.data.quarantine import refuse
from ddmlp.data.sources import PositionedSource, Rows
from ddmlp.data.sources.fetch_size import FETCH_BYTES, MAX_MESSAGES
from ddmlp.data.sources.registry import open_stream
from tools.benchmarks.bare_clients import CLIENTS
from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings, Target
from tools.benchmarks.processes import new_process
from tools.benchmarks.record import Entry

ROWS = 60_000  # of a stream
PART = 0.9  # of it is read, so that nobody waits for more at its end
FORMS = {"raw": 1, "arrow": 1_000}  # the rows of a message
SENT = {"raw": 5_000, "arrow": 10}  # messages that are sent at a time
CLASSES = 10
CLIENT, READ, WRITTEN = "the client library alone", "ddmlp, rows", "ddmlp, rows on disk"
LEAST = 0.7

Reading = Generator[int]  # yields the number of rows that have arrived, each time that some have
Message = tuple[bytes, bytes | None]  # a payload, and the label beside it


def speed(
    read: Callable[[], Reading], rows: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the rows/s of readings of at least so many rows, each from its first rows to its last ones.

    The readings take `seconds` together.
    """
    done, passed = 0, 0.0
    while passed < seconds:
        with closing(read()) as found:
            arrived = first = next(found)
            start = clock()
            while arrived < rows:
                arrived += next(found)
            passed += clock() - start
        assert arrived > first, "all rows have arrived at once"
        done += arrived - first
    return {"rows/s": done / passed}


def client_reading(kind: str, port: int, stream: str, count: int, rows: int) -> Reading:
    """Read a stream by the client library alone: `count` messages at a time, with `rows` in each."""
    with closing(CLIENTS[kind](port, stream, count)) as client:
        for messages in client:
            yield messages * rows


def reading(uri: str) -> Reading:
    """Read a stream into rows."""
    with closing(open_stream(uri)) as source:
        assert isinstance(source, PositionedSource)
        source.begin(None, None, refuse)
        for found in source.batches(CLASSES, lambda: None, 1.0):
            yield len(found.labels)


def written_speed(uri: str, rows: int, seconds: float, scratch: Path) -> dict[str, float]:
    """Return the rows/s with which a stream is written to disk, from its opening to its last publication."""
    done, passed = 0, 0.0
    while passed < seconds:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            path = Path(folder, "data")
            ingest = StreamIngest(beginning(uri, rows), path, CLASSES, publish_rows=1)
            start = time.perf_counter()
            ingest.start()
            while ingest.rows < rows and ingest.error is None:
                time.sleep(0.001)
            ingest.stop()
            passed += time.perf_counter() - start
            ingest.raise_error()
            done += Manifest.read(path).rows
    return {"rows/s": done / passed}


def beginning(uri: str, rows: int) -> PositionedSource:
    """Open a stream that stops after at least so many rows."""
    source = open_stream(uri)
    assert isinstance(source, PositionedSource)
    batches = source.batches

    def first(*arguments: Any) -> Iterator[Rows]:
        left = rows
        for found in batches(*arguments):
            left -= len(found.labels)
            if left <= 0:
                source.stop()
            yield found

    source.batches = first  # type: ignore[method-assign, assignment]
    return source


def messages_of(form: str, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> list[Message]:
    """Return rows as messages."""
    if form == "raw":
        return [(image.tobytes(), b"%d" % label) for image, label in zip(pixels, labels, strict=True)]
    found: list[Message] = []
    for first in range(0, len(labels), FORMS[form]):
        some, out = slice(first, first + FORMS[form]), io.BytesIO()
        images = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels[some])
        batch = pa.record_batch({"pixels": images, "label": labels[some]})
        with pa.ipc.new_stream(out, batch.schema) as writer:
            writer.write_batch(batch)
        found.append((out.getvalue(), None))
    return found


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Any]:
    """Start a server, as the tests do; yields None if this machine does not have it."""
    try:
        server = resolve_name("tests.support.brokers:SERVERS")[kind](folder)
    except ImportError:  # the packages of the tests are not installed
        yield None
        return
    if not shutil.which(server.program):
        yield None
        return
    try:
        server.start()
        yield server
    finally:
        server.kill()


def called(begin: Callable[..., Callable[[], dict[str, float]]], *call: Any) -> dict[str, float]:
    """Return the result of a call in another process."""
    return begin(*call)()


def cases(settings: Settings) -> Cases:
    dataset = Dataset(settings.data / "train")
    rows = min(ROWS, len(dataset))
    pixels, labels = dataset.gather(np.arange(rows))
    pixels = pixels.reshape(-1, *dataset.manifest.image_shape)
    for kind in CLIENTS:
        folder = Path(tempfile.mkdtemp(dir=settings.scratch))
        # In two processes: ddmlp sets how much RabbitMQ's client receives at a time.
        with started(kind, folder) as server, new_process() as begin, new_process() as begin_client:
            for form in FORMS:
                found: dict[str, Measure | None] = dict.fromkeys((CLIENT, READ, WRITTEN))
                if server is not None:
                    messages = messages_of(form, pixels, labels)
                    with mock.patch("tests.support.rabbitmq_server.FEW", 0):  # no stream is made to be trimmed
                        for first in range(0, len(messages), SENT[form]):
                            server.send(form, messages[first : first + SENT[form]])
                    uri, long = server.uri(form, format=form), (int(PART * rows), settings.seconds)
                    count = min(MAX_MESSAGES, FETCH_BYTES // len(messages[0][0]), max(1, len(messages) // 4))
                    alone = partial(client_reading, kind, server.port, form, count, FORMS[form])
                    found = {
                        CLIENT: partial(called, begin_client, speed, alone, *long),
                        READ: partial(called, begin, speed, partial(reading, uri), *long),
                        WRITTEN: partial(called, begin, written_speed, uri, *long, folder),
                    }
                yield f"{kind}, {form}", found


def targets(entry: Entry) -> list[Target]:
    return [
        Target(f"{READ}, to {CLIENT}, {kind}, {form}", entry.ratio(f"{kind}, {form}", READ, CLIENT), LEAST)
        for kind in CLIENTS
        for form in FORMS
    ]


BENCHMARK = Benchmark("sources", cases, targets, of=CLIENT)
