"""The spool: streams from real pipes, sockets and files, whole, broken off, damaged, paused and stopped."""

import errno
import io
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddmlp.data import ingest as module
from ddmlp.data.dataset import Dataset
from ddmlp.data.ingest import Source, StreamIngest, open_source
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.sources.arrow_ipc import read_stream
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import ConfigError, DatasetError
from tests.support.processes import own_bytes

TENSOR = pa.fixed_shape_tensor(pa.uint8(), (2, 2))
SCHEMA = pa.schema([("pixels", TENSOR), ("label", pa.int64())])
MARKER = b"\xff\xff\xff\xff\0\0\0\0"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

# Does what the lines on its standard input say: so many rows, "end", or its own end without a word.
PRODUCER = """
import sys
from tests.test_spool import SCHEMA, batch
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

# Spools its standard input and says how that ended.
CONSUMER = """
import sys
import time
from pathlib import Path
from ddmlp.errors import DdmlpError
from ddmlp.data.ingest import StreamIngest, open_source
try:
    spool = StreamIngest(open_source("-"), Path(sys.argv[1]), 10, 1)
    spool.start()
    while not spool.ended:
        spool.check()
        time.sleep(0.01)
    spool.stop()
    print("ended", spool.rows)
except DdmlpError as error:
    print(type(error).__name__, error)
"""


def tensor(pixels: np.ndarray) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(pixels))


def batch(count: int, start: int = 0) -> pa.RecordBatch:
    """Rows whose pixels and labels tell their number."""
    numbers = np.arange(start, start + count)
    pixels = np.repeat(numbers % 256, 4).reshape(-1, 2, 2).astype(np.uint8)
    columns = [tensor(pixels) if count else pa.array([], TENSOR), pa.array(numbers % 10)]
    return pa.record_batch(columns, schema=SCHEMA)


def stream(*batches: pa.RecordBatch, **options: str) -> bytes:
    """A whole stream; its beginnings end where `ends` says."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for each in batches:
            writer.write_batch(each)
    return out.getvalue()


def columns(pixels: pa.Array, label: pa.Array | None = None) -> bytes:
    label = pa.array(np.arange(len(pixels))) if label is None else label
    return stream(pa.record_batch([pixels, label], names=["pixels", "label"]))


def until(true: Callable[[], object]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it did not come true in 30 s"
        time.sleep(0.002)


@contextmanager
def source_of(content: bytes, path: Path) -> Iterator[Source]:
    path.write_bytes(content)
    with path.open("rb") as file, closing(Source("file", file.fileno())) as source:
        yield source


@contextmanager
def spooling(source: Source, path: Path, rows: int = 1, classes: int = 10) -> Iterator[StreamIngest]:
    spool = StreamIngest(source, path, classes, rows)
    spool.start()
    try:
        yield spool
    finally:
        spool.stop()


def receive(content: bytes, path: Path, **options: int) -> StreamIngest:
    """Spool a whole file; returns when it is done."""
    with source_of(content, path.with_name("stream")) as source, spooling(source, path, **options) as spool:
        until(lambda: spool.ended or spool.error)
    return spool


def refusal(content: bytes, path: Path, **options: int) -> str:
    spool = receive(content, path, **options)
    assert not spool.ended
    with pytest.raises(DatasetError) as caught:
        spool.check()
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
def pipe() -> Iterator[tuple[Source, io.FileIO]]:
    """A source, and what to write into for it."""
    reader, writer = os.pipe()
    with (
        open(reader, "rb", buffering=0) as read_end,  # noqa: PTH123 - a descriptor has no path
        open(writer, "wb", buffering=0) as write_end,  # noqa: PTH123
        closing(Source("pipe", read_end.fileno())) as source,
    ):
        yield source, write_end


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PUBLISH_SECONDS", 0.01)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows are published at once, and the next ones not while a test runs."""
    monkeypatch.setattr(module, "PUBLISH_SECONDS", 1_000)


def test_simple(tmp_path):
    """A producer in a process of its own; its rows are there while it pauses."""
    path = tmp_path / "data"
    command = [sys.executable, "-c", PRODUCER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as producer:
        with spooling(Source("pipe", producer.stdout.fileno()), path, rows=5) as spool:
            producer.stdin.write(b"7\n")
            producer.stdin.flush()
            until(lambda: spool.wait_for_rows(0.1))
            dataset = Dataset(path)
            assert len(dataset) == 7
            producer.stdin.write(b"5\n")
            producer.stdin.flush()
            until(dataset.grow)
            assert len(dataset) == 12
            assert not dataset.manifest.ended
            producer.stdin.write(b"3\nend\n")
            producer.stdin.flush()
            until(lambda: spool.ended)
            spool.check()
        producer.stdin.close()
    dataset.grow()
    assert (spool.rows, len(dataset), dataset.manifest.ended) == (15, 15, True)
    assert numbers(path) == list(range(15))


def test_standard_input_is_spooled(tmp_path):
    for number, (content, says) in enumerate(
        [
            (stream(batch(7)), "ended 7\n"),
            (stream(batch(7))[:-8], "DatasetError the stream from standard input broke off after 7"),
        ]
    ):
        command = [sys.executable, "-c", CONSUMER, str(tmp_path / str(number))]
        done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=60)
        assert done.stdout.decode().startswith(says), done.stderr
        assert numbers(tmp_path / str(number)) == list(range(7))


def test_standard_input_must_be_a_stream():
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", CONSUMER, "nowhere"]
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)
    os.close(ours)
    os.close(theirs)
    assert done.stdout == "ConfigError standard input is a terminal; pipe an Arrow IPC stream into it\n"
    done = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *command], capture_output=True, text=True, check=False)
    assert done.stdout == "ConfigError standard input is closed; pipe an Arrow IPC stream into it\n"


@pytest.mark.usefixtures("quick")
def test_rows_wait_until_there_are_enough(tmp_path, pipe):
    source, out = pipe
    content = stream(batch(3), batch(2, 3), batch(1, 5))
    with spooling(source, tmp_path / "data", rows=5) as spool:
        first, second, _ = ends(content)
        out.write(content[:first])
        until(lambda: spool.rows == 3)
        assert not spool.wait_for_rows(0)
        out.write(content[first:second])
        until(lambda: spool.wait_for_rows(0.1))
        assert numbers(tmp_path / "data") == list(range(5))
        out.write(content[second:])
        until(lambda: spool.ended)
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [5, 1]


def ends(content: bytes) -> list[int]:
    """Where the messages with record batches end."""
    found, at, most = [], 0, len(content) - len(MARKER)
    while at < most:
        size = struct.unpack("<i", content[at + 4 : at + 8])[0]
        message = pa.ipc.read_message(pa.py_buffer(content[at:]))
        at += 8 + size + (len(message.body) if message.body else 0)
        if message.type == "record batch":
            found.append(at)
    return found


@pytest.mark.usefixtures("slow")
def test_the_shards_of_a_fast_stream_are_full(tmp_path):
    content = stream(*(batch(500, start) for start in range(0, 25_000, 500)))
    assert receive(content, tmp_path / "data", rows=64).ended
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [500, 10_000, 10_000, 4_500]
    assert numbers(tmp_path / "data") == [number % 256 for number in range(25_000)]


@pytest.mark.usefixtures("slow")
def test_a_record_batch_may_be_larger_than_a_shard(tmp_path):
    assert receive(stream(batch(25_000)), tmp_path / "data").ended
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [10_000, 10_000, 5_000]


@contextmanager
def serving(content: bytes, *, reset: threading.Event | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """A server that sends `content` to whoever comes, then closes the connection, or breaks it when told."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(content)
                if reset is not None:
                    assert reset.wait(30)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://{f'[{host}]' if ':' in host else host}:{server.getsockname()[1]}"
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_is_a_source(tmp_path, host):
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with (
        serving(stream(batch(2_000), batch(500, 2_000)), host=host) as address,
        spooling(open_source(address), tmp_path / "data") as spool,
    ):
        until(lambda: spool.ended or spool.error)
        spool.check()
    assert numbers(tmp_path / "data") == [number % 256 for number in range(2_500)]


def test_a_connection_that_breaks_is_told_and_the_rows_are_kept(tmp_path):
    reset = threading.Event()
    with (
        serving(stream(batch(5))[:-8], reset=reset) as address,
        spooling(open_source(address), tmp_path / "data", rows=100) as spool,
    ):
        until(lambda: spool.rows == 5)
        reset.set()
        until(lambda: spool.error)
    assert str(spool.error) == (
        f"the stream from {address} broke off after 5 rows, without Arrow's end-of-stream marker (Connection reset by "
        "peer); the rows are kept: go on by --resume with the rest"
    )
    assert not Manifest.read(tmp_path / "data").ended
    assert numbers(tmp_path / "data") == list(range(5))


def test_nobody_at_an_address_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DatasetError, match=f"^cannot connect to {address}: Connection refused; expected a server"):
        open_source(address)
    with pytest.raises(DatasetError, match=r"^cannot connect to tcp://a\.\.b:1: .+; expected a server there"):
        open_source("tcp://a..b:1")


@pytest.mark.parametrize(
    "source",
    [
        *(
            "",
            "data",
            "--",
            "host:1",
            "http://host:1",
            "tcp://",
            "tcp://:1",
            "tcp://host",
            "tcp://host:",
            "tcp://[::1:5",
        ),
        *(f"tcp://host:{port}" for port in ("x", "0", "-1", "65536", "1/path", "1?x")),
    ],
)
def test_what_is_no_source_is_refused(source):
    with pytest.raises(ConfigError) as caught:
        open_source(source)
    assert str(caught.value) == f"{source} is no source of a stream; expected - or tcp://HOST:PORT"


def test_a_stream_cut_anywhere_has_broken_off(tmp_path):
    """What Arrow itself takes for an end between two messages included."""
    content = stream(batch(3), batch(4, 3))
    complete = ends(content)
    for cut in range(len(content)):
        with source_of(content[:cut], tmp_path / "stream") as source:
            rows = 0
            try:
                for each in read_stream(source, "it", 10):
                    rows += len(each.labels)
            except DatasetError as error:
                assert str(error).startswith("it is damaged, or no Arrow IPC stream: ")  # noqa: PT017
            assert source.lost == "end of file"
            assert rows == sum(size for size, end in zip((3, 4), complete, strict=True) if end <= cut)
    with source_of(content + b"more", tmp_path / "stream") as source:
        assert sum(len(each.labels) for each in read_stream(source, "it", 10)) == 7
        assert source.lost is None
        assert bytes(source.read(4)) == b"more", "nothing is read beyond the marker"


@pytest.mark.parametrize(
    ("cut", "rows"), [(-8, 7), (-7, 7), (-4, 7), (-1, 7), (-9, 3), (-200, 3), (-600, 0), (-2_000, 0)]
)
def test_a_stream_that_breaks_off_is_told_and_its_rows_are_kept(tmp_path, cut, rows):
    message = refusal(stream(batch(3), batch(4, 3))[:cut], tmp_path / "data", rows=100)
    assert message.startswith(
        f"the stream from file broke off after {rows} rows, without Arrow's end-of-stream marker (end of file); "
    )
    assert message.endswith("go on by --resume with the rest" if rows else "expected an Arrow IPC stream")
    assert numbers(tmp_path / "data") == list(range(rows))
    assert not rows or not Manifest.read(tmp_path / "data").ended


def test_rows_that_look_like_the_marker_are_none(tmp_path):
    """The last column of the last message ends with the marker's very bytes."""
    pixels, labels = tensor(np.zeros((4, 2, 2), np.uint8)), pa.array([255] * 4, pa.uint8())
    content = columns(pixels, labels)
    assert content.endswith(2 * MARKER)
    assert "broke off after 4 rows" in refusal(content[:-8], tmp_path / "data", classes=256)


def test_a_stream_goes_on_where_another_broke_off(tmp_path):
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


def test_the_rest_of_a_stream_may_be_its_end_alone(tmp_path):
    refusal(stream(batch(5))[:-8], tmp_path / "data")
    spool = receive(stream(batch(0)), tmp_path / "data")
    spool.check()
    assert (spool.rows, spool.ended, Manifest.read(tmp_path / "data").ended) == (0, True, True)


def test_a_stream_without_rows_is_refused(tmp_path):
    for content in (stream(batch(0)), stream(batch(0), batch(0))):
        message = refusal(content, tmp_path / "data")
        assert message == "the stream from file ended without rows, expected at least one"
    assert not (tmp_path / "data").exists()


def test_a_dataset_that_does_not_fit_or_is_being_written_is_refused(tmp_path):
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


GRID = np.arange(8, dtype=np.uint8).reshape(2, 4)
LISTS = GRID.tolist()


@pytest.mark.parametrize(
    ("pixels", "shape"),
    [
        (tensor(GRID.reshape(2, 2, 2)), (2, 2)),
        (tensor(GRID.reshape(2, 1, 4)), (1, 4)),
        (tensor(GRID.reshape(2, 4, 1)), (4, 1)),
        (pa.array(LISTS, pa.list_(pa.uint8(), 4)), (2, 2)),
        (pa.array(GRID.reshape(1, 8).tolist() * 2, pa.list_(pa.uint8(), 8)), (1, 8)),
        (pa.array(LISTS, pa.list_(pa.uint8())), (2, 2)),
        (pa.array(LISTS, pa.large_list(pa.uint8())), (2, 2)),
        (pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.uint8())), (1, 3)),
        (pa.array([[9], *LISTS, [9]], pa.list_(pa.uint8())).slice(1, 2), (2, 2)),
        (tensor(np.arange(16, dtype=np.uint8).reshape(4, 2, 2)).slice(1, 2), (2, 2)),
    ],
)
def test_these_pixels_are_taken(tmp_path, pixels, shape):
    spool = receive(columns(pixels), tmp_path / "data")
    spool.check()
    storage = pixels.storage if isinstance(pixels, pa.ExtensionArray) else pixels
    assert Manifest.read(tmp_path / "data").image_shape == shape
    assert read(tmp_path / "data")[0].tolist() == storage.to_pylist()


@pytest.mark.parametrize("kind", [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)])
def test_labels_are_integers_of_any_type(tmp_path, kind):
    labels = pa.array([9, 0], pa.type_for_alias(kind))
    receive(columns(tensor(GRID.reshape(2, 2, 2)), labels), tmp_path / "data").check()
    assert read(tmp_path / "data")[1].tolist() == [9, 0]


def test_other_columns_and_their_order_do_not_matter(tmp_path):
    names = ["who", "label", "when", "pixels"]
    them = pa.array(["a", None]), pa.array([1, 2], pa.int8()), pa.array([None, None]), tensor(GRID.reshape(2, 2, 2))
    receive(stream(pa.record_batch(list(them), names=names)), tmp_path / "data").check()
    assert [each.tolist() for each in read(tmp_path / "data")] == [LISTS, [1, 2]]


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_what_arrow_decompresses_is_taken(tmp_path, compression):
    receive(stream(batch(300), batch(2, 300), compression=compression), tmp_path / "data").check()
    assert numbers(tmp_path / "data") == [number % 256 for number in range(302)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["pixels", "class"], "has 0 columns 'label', expected one; its columns are ['pixels', 'class']"),
        (["image", "label"], "has 0 columns 'pixels', expected one; its columns are ['image', 'label']"),
        (["a\nb\x1b[2J", "label"], "has 0 columns 'pixels', expected one; its columns are ['a\\nb\\x1b[2J', 'label']"),
        (["x" * 1_000, "label"], f"has 0 columns 'pixels', expected one; its columns are ['{'x' * 198}..."),
        (["label", "label"], "has 0 columns 'pixels', expected one"),
        (["pixels", "label", "label"], "has 2 columns 'label', expected one"),
    ],
)
def test_a_column_that_is_not_there_once_is_named(tmp_path, names, expected):
    content = stream(pa.record_batch([pa.array([1])] * len(names), names=names))
    assert refusal(content, tmp_path / "data").startswith(f"the stream from file {expected}")


PERMUTED = pa.fixed_shape_tensor(pa.uint8(), (2, 2), permutation=[1, 0])


@pytest.mark.parametrize(
    "pixels",
    [
        tensor(np.zeros((2, 2, 2), np.float32)),
        tensor(np.zeros((2, 2, 2), np.int8)),
        tensor(np.zeros((2, 4), np.uint8)),
        tensor(np.zeros((2, 2, 2, 3), np.uint8)),
        pa.ExtensionArray.from_storage(PERMUTED, pa.array(LISTS, pa.list_(pa.uint8(), 4))),
        pa.array([[0.5] * 4] * 2, pa.list_(pa.float32(), 4)),
        pa.array(LISTS, pa.list_(pa.int64())),
        pa.array([b"1234"] * 2),
        pa.array(["1234"] * 2),
        pa.array([1, 2], pa.uint8()),
        pa.array([None, None]),
        pa.array([[[1, 2], [3, 4]]] * 2, pa.list_(pa.list_(pa.uint8()))),
        pa.array([{"a": 1}] * 2),
    ],
)
def test_other_pixels_are_refused(tmp_path, pixels):
    assert refusal(columns(pixels), tmp_path / "data") == (
        f"the stream from file has pixels of type {pixels.type}, expected a fixed-shape tensor of uint8 with shape "
        "(height, width), or a list of uint8"
    )


@pytest.mark.parametrize(
    "labels",
    [pa.array([1.0, 2.0]), pa.array(["1", "2"]), pa.array([True, False]), pa.array([1, 2]).dictionary_encode()],
)
def test_other_labels_are_refused(tmp_path, labels):
    assert refusal(columns(tensor(GRID.reshape(2, 2, 2)), labels), tmp_path / "data") == (
        f"the stream from file has labels of type {labels.type}, expected integers"
    )


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (pa.array([[], []], pa.list_(pa.uint8(), 0)), "has images of 0 x 0 pixels, expected 1 to 16,777,216"),
        (pa.array([[], []], pa.list_(pa.uint8())), "has images of 0 x 0 pixels, expected 1 to 16,777,216"),
        (pa.array([], pa.list_(pa.uint8(), 1 << 26)), "has images of 8192 x 8192 pixels, expected 1 to 16,777,216"),
        (pa.array([[1], [2, 3]], pa.list_(pa.uint8())), ": row 1 has 2 pixels, expected 1 as in row 0"),
    ],
)
def test_images_of_another_size_are_refused(tmp_path, pixels, expected):
    message = refusal(columns(pixels), tmp_path / "data")
    assert message == f"the stream from file{'' if expected[0] == ':' else ' '}{expected}"


def test_lists_are_as_long_as_the_first(tmp_path):
    kind = pa.list_(pa.uint8())
    batches = [
        pa.record_batch([pa.array(rows, kind), pa.array([0] * len(rows), pa.int8())], names=["pixels", "label"])
        for rows in ([], LISTS, [[1, 2, 3, 4], [1, 2, 3]])
    ]
    message = refusal(stream(*batches), tmp_path / "data")
    assert message == "the stream from file: row 3 has 3 pixels, expected 4 as in row 0"
    assert read(tmp_path / "data")[0].tolist() == LISTS


@pytest.mark.parametrize(("label", "kind"), [(10, "int64"), (-1, "int8"), (2**63, "uint64"), (256, "int16")])
def test_a_label_out_of_range_is_named_and_the_rows_before_are_kept(tmp_path, label, kind):
    batches = [
        pa.record_batch([tensor(GRID.reshape(2, 2, 2)), pa.array(labels, kind)], names=["pixels", "label"])
        for labels in ([0, 9], [1, label], [1, 2])
    ]
    message = refusal(stream(*batches), tmp_path / "data", rows=100)
    assert message == f"the stream from file: the label of row 3 is {label}, expected 0 to 9"
    assert read(tmp_path / "data")[1].tolist() == [0, 9]
    assert not Manifest.read(tmp_path / "data").ended


@pytest.mark.parametrize(
    ("pixels", "labels", "expected"),
    [
        (tensor(GRID.reshape(2, 2, 2)), pa.array([1, None]), "the label of row 1 is null"),
        (pa.array([None, *LISTS], pa.list_(pa.uint8(), 4)), None, "the pixels of row 0 is null"),
        (pa.array([*LISTS, None], pa.list_(pa.uint8())), None, "the pixels of row 2 is null"),
        (pa.array([*LISTS, [1, 2, None, 4]], pa.list_(pa.uint8(), 4)), None, "pixel 2 of row 2 is null"),
        (pa.array([*LISTS, [None, 2, 3, 4]], pa.large_list(pa.uint8())), None, "pixel 0 of row 2 is null"),
    ],
)
def test_nulls_are_named(tmp_path, pixels, labels, expected):
    message = refusal(columns(pixels, labels), tmp_path / "data")
    assert message == f"the stream from file: {expected}, expected a value"


def attempt(content: bytes, path: Path) -> str | None:
    """What is wrong with a stream, if anything is."""
    with source_of(content, path) as source:
        try:
            for pixels, labels in read_stream(source, "it", 10):
                assert pixels.shape == (len(labels), 2, 2) or pixels.shape[0] == len(labels)
                assert int(pixels.sum()) >= 0, "every byte can be read"
                assert labels.max() < 10
        except DatasetError as error:
            assert "\n" not in str(error)  # noqa: PT017
            return str(error)
    return None


FUZZ = settings(
    deadline=None, database=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KINDS = {
    "tensor": stream(batch(3), batch(4, 3)),
    "list": columns(pa.array(LISTS, pa.list_(pa.uint8()))),
    "nulls": columns(pa.array([*LISTS, [1, 2, None, 4]], pa.list_(pa.uint8()))),
    "zstd": stream(batch(300), compression="zstd"),
}


@FUZZ
@given(content=st.binary(max_size=200), begin=st.sampled_from([b"", MARKER[:4], MARKER[:4] + b"\x78\0\0\0"]))
def test_no_garbage_raises_anything_but_a_dataset_error(tmp_path, content, begin):
    found = attempt(begin + content, tmp_path / "stream")
    assert found is not None
    assert "Arrow IPC stream" in found


@FUZZ
@given(
    content=st.sampled_from(sorted(KINDS)).map(KINDS.get),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3),
)
def test_no_damaged_byte_raises_anything_but_a_dataset_error(tmp_path, content, places):
    damaged = bytearray(content)
    for place, flip in places:
        damaged[int(place * len(content))] ^= flip
    attempt(bytes(damaged), tmp_path / "stream")


@pytest.mark.parametrize("size", [(1 << 30) + 1, 1 << 40, (1 << 62) - 1])
def test_an_absurd_size_is_not_believed(tmp_path, size):
    """The length of the body, as the metadata of the record batch gives it."""
    content = stream(batch(100))
    (at,) = [place.start() for place in re.finditer(re.escape(struct.pack("<q", 1_200)), content)]
    message = refusal(content[:at] + struct.pack("<q", size) + content[at + 8 :], tmp_path / "data")
    assert f"file announces a message of {size:,} bytes, expected at most 1,073,741,824" in message


def test_rows_beyond_the_message_are_not_read(tmp_path):
    """Lists of the right length, in a place where there is nothing."""
    content, offsets, beyond = KINDS["list"], struct.pack("<3i", 0, 4, 8), 1 << 28
    assert content.count(offsets) == 1
    message = refusal(content.replace(offsets, struct.pack("<3i", beyond, beyond + 4, beyond + 8)), tmp_path / "data")
    assert message.startswith("the stream from file is damaged, or no Arrow IPC stream: In column 0: ")


@pytest.mark.parametrize("begin", [b"ARROW1\0\0", b"hello, world", b"\xff\xff\xff\xff\xff\xff\xff\x7f"])
def test_what_is_no_stream_is_refused(tmp_path, begin):
    assert "no Arrow IPC stream (an Arrow file is none)" in refusal(begin + bytes(100), tmp_path / "data")


@LINUX
def test_a_size_that_is_not_true_costs_no_memory(tmp_path):
    with source_of(bytes(100), tmp_path / "stream") as source:
        before = own_bytes(os.getpid())
        found = source.read(1 << 30)
        assert own_bytes(os.getpid()) - before < 100 << 20
        assert len(found) == 100


def test_stopping_ends_a_read_that_waits_and_keeps_the_rows(tmp_path, pipe):
    source, out = pipe
    content = stream(batch(3), batch(4, 3))
    with spooling(source, tmp_path / "data", rows=100) as spool:
        out.write(content[:-50])  # into the middle of the second record batch
        until(lambda: spool.rows == 3)
        assert not spool.wait_for_rows(0)
        for _ in range(2):
            spool.stop()
            spool.check()
        assert spool.wait_for_rows(0)
    assert numbers(tmp_path / "data") == [0, 1, 2]
    assert not spool.ended
    assert not Manifest.read(tmp_path / "data").ended
    with DatasetWriter(tmp_path / "data", (2, 2), 10, extend=True):
        """Nobody holds it any more."""


def test_stopping_before_anything_came_leaves_nothing(tmp_path, pipe):
    with spooling(pipe[0], tmp_path / "data") as spool:
        spool.stop()
        assert not spool.wait_for_rows(30), "which does not wait for what will not come"
    StreamIngest(Source("pipe", pipe[1].fileno()), tmp_path / "data", 10, 1).stop()
    assert not (tmp_path / "data").exists()


def test_a_dataset_that_is_there_can_be_opened_at_once(tmp_path, pipe):
    receive(stream(batch(3))[:-8], tmp_path / "data")
    with spooling(pipe[0], tmp_path / "data") as spool:
        assert spool.wait_for_rows(0)


def test_waiting_for_rows_tells_what_went_wrong(tmp_path):
    with (
        source_of(b"", tmp_path / "stream") as source,
        spooling(source, tmp_path / "data") as spool,
        pytest.raises(DatasetError, match="the stream from file broke off after 0 rows"),
    ):
        spool.wait_for_rows(30)


@pytest.mark.parametrize("full_at", [1, 2, 3])
def test_a_disk_that_is_full_is_told_as_it_is(tmp_path, pipe, monkeypatch, full_at):
    """When rows are published as they come, while the stream pauses, and at the end."""
    calls, publish = [], DatasetWriter.publish

    def fail(writer: DatasetWriter) -> None:
        calls.append(writer)
        if len(calls) == full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "shard")
        publish(writer)

    monkeypatch.setattr(DatasetWriter, "publish", fail)
    monkeypatch.setattr(module, "PUBLISH_SECONDS", 0.3)
    content = stream(batch(3), batch(4, 3))
    source, out = pipe
    with spooling(source, tmp_path / "data") as spool:
        out.write(content[:-8])
        until(lambda: spool.error or len(calls) == 2)
        out.write(content[-8:])
        until(lambda: spool.error)
        with pytest.raises(OSError, match="No space left on device: 'shard'"):
            spool.check()
    assert (len(calls), spool.ended) == (full_at, False)
    assert numbers(tmp_path / "data") == list(range([0, 3, 7][full_at - 1]))


@LINUX
def test_nothing_stays_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    with serving(stream(batch(5))) as address, spooling(open_source(address), tmp_path / "data") as spool:
        until(lambda: spool.ended)
    refusal(b"", tmp_path / "other")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert threading.active_count() == threads
