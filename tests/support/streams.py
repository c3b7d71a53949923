"""Arrow IPC streams, complete or in pieces, and helpers to receive them."""

import io
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from ddmlp.data.sources.byte_stream import ByteStream

TENSOR = pa.fixed_shape_tensor(pa.uint8(), (2, 2))
SCHEMA = pa.schema([("pixels", TENSOR), ("label", pa.int64())])
MARKER = b"\xff\xff\xff\xff\0\0\0\0"


def tensor(pixels: np.ndarray) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(pixels))


def batch(count: int, start: int = 0) -> pa.RecordBatch:
    """Return rows whose pixels and labels give their number."""
    numbers = np.arange(start, start + count)
    pixels = np.repeat(numbers % 256, 4).reshape(-1, 2, 2).astype(np.uint8)
    columns = [tensor(pixels) if count else pa.array([], TENSOR), pa.array(numbers % 10)]
    return pa.record_batch(columns, schema=SCHEMA)


def stream(*batches: pa.RecordBatch, **options: str) -> bytes:
    """Return a complete stream; `ends` returns the ends of its record batches."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for each in batches:
            writer.write_batch(each)
    return out.getvalue()


def columns(pixels: pa.Array, label: pa.Array | None = None) -> bytes:
    label = pa.array(np.arange(len(pixels))) if label is None else label
    return stream(pa.record_batch([pixels, label], names=["pixels", "label"]))


def ends(content: bytes) -> list[int]:
    """Return the offsets at which the messages with record batches end."""
    found, at, most = [], 0, len(content) - len(MARKER)
    while at < most:
        size = struct.unpack("<i", content[at + 4 : at + 8])[0]
        message = pa.ipc.read_message(pa.py_buffer(content[at:]))
        at += 8 + size + (len(message.body) if message.body else 0)
        if message.type == "record batch":
            found.append(at)
    return found


def until(true: Callable[[], object]) -> None:
    """Wait until `true()` is true."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "not true within 30 s"
        time.sleep(0.002)


class Sent:
    """A source that sends `content` and ends, without a file, for tests with many streams."""

    def __init__(self, content: bytes) -> None:
        self.lost: str | None = None
        self._content, self._at = content, 0

    def read(self, size: int) -> memoryview:
        found = memoryview(self._content)[self._at : self._at + size]
        self._at += len(found)
        self.lost = self.lost if len(found) == size else "end of file"
        return found

    def peek(self, size: int) -> bytes:
        found = self._content[self._at : self._at + size]
        self.lost = self.lost if found else "end of file"
        return found


@contextmanager
def source_of(content: bytes, path: Path) -> Iterator[ByteStream]:
    """Open a source that reads `content` from a file at `path`."""
    path.write_bytes(content)
    with path.open("rb") as file, closing(ByteStream("file", file.fileno())) as source:
        yield source


@contextmanager
def serving(content: bytes, *, reset: threading.Event | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """Run a server that sends `content` to one client, then closes the connection; after `reset`, by a reset."""
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
