"""Byte streams: standard input, TCP and pipes; waiting, stopping, and false sizes."""

import os
import pty
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from ddmlp.data.sources.arrow_messages import MAX_BODY_BYTES
from ddmlp.data.sources.byte_stream import ByteStream
from ddmlp.data.sources.registry import open_stream
from ddmlp.errors import ConfigError, DatasetError
from tests.support.processes import own_bytes
from tests.support.streams import batch, serving, source_of, stream, until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@contextmanager
def standard_input(descriptor: int | None) -> Iterator[None]:
    """Replace standard input by a file; None closes it."""
    before = os.dup(0)
    try:
        if descriptor is None:
            os.close(0)
        else:
            os.dup2(descriptor, 0)
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def labels(source: ByteStream) -> list[int]:
    return [int(label) for rows in source.batches(10, lambda: None, 1.0) for label in rows.labels]


def test_simple(tmp_path):
    with source_of(stream(batch(7), batch(5, 7)), tmp_path / "stream") as source:
        assert labels(source) == [number % 10 for number in range(12)]
        assert (source.name, source.lost, source.stopped) == ("file", None, False)


def test_peek(tmp_path):
    content = bytes(range(100))
    with source_of(content, tmp_path / "stream") as source:
        assert source.peek(60) == content[:60]
        assert source.peek(60) == content[:60]
        assert bytes(source.read(10)) == content[:10]
        assert bytes(source.read(80)) == content[10:90]
        assert source.peek(60) == content[90:]
        assert source.lost is None
        assert bytes(source.read(20)) == content[90:]
        assert source.lost == "end of file"
        assert source.peek(60) == b""


def test_peek_does_not_wait():
    """`peek` returns the bytes that have arrived; it does not wait for `size` bytes."""
    reader, writer = os.pipe()
    with closing(ByteStream("pipe", reader)) as source:
        os.write(writer, b"label,pixel0\n")
        assert source.peek(100) == b"label,pixel0\n"
    os.close(reader)
    os.close(writer)


def test_standard_input(tmp_path):
    (tmp_path / "stream").write_bytes(stream(batch(7)))
    with (tmp_path / "stream").open("rb") as file, standard_input(file.fileno()):
        with closing(open_stream("-")) as source:
            assert source.name == "standard input"
            assert len(labels(source)) == 7
        assert os.fstat(0).st_ino == os.fstat(file.fileno()).st_ino, "standard input stays open"


def test_terminal_or_closed():
    ours, theirs = pty.openpty()
    with standard_input(theirs), pytest.raises(ConfigError, match="terminal"):
        open_stream("-")
    os.close(ours)
    os.close(theirs)
    with standard_input(None), pytest.raises(ConfigError, match="closed"):
        open_stream("-")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_tcp(host):
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with (
        serving(stream(batch(2_000), batch(500, 2_000)), host=host) as address,
        closing(open_stream(address)) as source,
    ):
        assert source.name == address
        assert labels(source) == [number % 10 for number in range(2_500)]


def test_connection_reset():
    reset = threading.Event()
    with serving(stream(batch(5))[:-8], reset=reset) as address, closing(open_stream(address)) as source:
        rows = source.batches(10, lambda: None, 1.0)
        assert len(next(rows).labels) == 5
        reset.set()
        assert list(rows) == []
        assert source.lost == "Connection reset by peer"


def test_connection_refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DatasetError, match=f" {address}: Connection refused"):
        open_stream(address)
    with pytest.raises(DatasetError, match=r" tcp://a\.\.b:1: .+"):
        open_stream("tcp://a..b:1")


def test_idle():
    reader, writer = os.pipe()
    idle: list[None] = []

    def count() -> None:
        idle.append(None)
        if len(idle) == 3:  # no bytes have arrived yet
            os.write(writer, stream(batch(1)))
            os.close(writer)

    with closing(ByteStream("pipe", reader)) as source:
        assert [len(rows.labels) for rows in source.batches(10, count, 0.001)] == [1]
    assert len(idle) > 3
    os.close(reader)


def test_stop_during_read():
    reader, writer = os.pipe()
    idle, found = threading.Event(), []
    with closing(ByteStream("pipe", reader)) as source:

        def receive() -> None:
            with suppress(DatasetError):  # the last message is incomplete
                found.extend(source.batches(10, idle.set, 60))

        thread = threading.Thread(target=receive)
        thread.start()
        os.write(writer, stream(batch(3), batch(4, 3))[:-50])  # into the middle of the second record batch
        until(lambda: found)
        assert idle.wait(30)
        source.stop()
        thread.join(30)
        assert not thread.is_alive()
    assert (len(found), source.stopped, source.lost) == (1, True, "stopped")
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 1 << 40, (1 << 62) - 1])
def test_huge_body(tmp_path, size):
    """The length of the body in the metadata of the record batch is false."""
    content = stream(batch(100))
    (at,) = [place.start() for place in re.finditer(re.escape(struct.pack("<q", 1_200)), content)]
    content = content[:at] + struct.pack("<q", size) + content[at + 8 :]
    found = f"{size:,} bytes at byte 416, .*1,073,741,824"
    with source_of(content, tmp_path / "stream") as source, pytest.raises(DatasetError, match=found):
        labels(source)


@LINUX
def test_false_size_memory(tmp_path):
    with source_of(bytes(100), tmp_path / "stream") as source:
        before = own_bytes(os.getpid())
        found = source.read(1 << 30)
        assert own_bytes(os.getpid()) - before < 100 << 20
        assert len(found) == 100
