"""Chunks of RabbitMQ streams."""

import struct
from types import SimpleNamespace

import pyarrow as pa
import pytest

from ddmlp.data.sources import rabbitmq_chunk
from ddmlp.data.sources.rabbitmq_chunk import messages_of


def sized(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(each)) + each for each in messages)


def batch(codec: int, *messages: bytes, name: str | None = None) -> bytes:
    content = sized(*messages)
    stored = pa.compress(content, name, asbytes=True) if name else content
    return struct.pack(">BHII", 0x80 | codec << 4, len(messages), len(content), len(stored)) + stored


def chunk(data: bytes, entries: int) -> SimpleNamespace:
    return SimpleNamespace(timestamp=5, chunk_first_offset=7, data=data, num_entries=entries)


def found(data: bytes, entries: int) -> list[tuple[int, bytes]]:
    return [(offset, bytes(message)) for _, offset, message in messages_of(chunk(data, entries))]


def test_simple():
    assert found(sized(b"one", b"", b"three"), 3) == [(7, b"one"), (8, b""), (9, b"three")]


@pytest.mark.parametrize(("codec", "name"), [(0, None), (1, "gzip"), (3, "lz4"), (4, "zstd")])
def test_batches(codec: int, name: str | None):
    data = sized(b"one") + batch(codec, b"two", b"three", name=name) + sized(b"four")
    assert found(data, 3) == [(7, b"one"), (8, b"two"), (9, b"three"), (10, b"four")]


BATCH = batch(1, b"two", b"three", name="gzip")
BAD = {
    "cut": sized(b"one")[:-1],
    "size cut": sized(b"one")[:3],
    "empty": b"",
    "batch cut": batch(0, b"one")[:-1],
    "batch's head cut": batch(0, b"one")[:5],
    "snappy": batch(2, b"one"),
    "not compressed": batch(1, b"one"),
    "compressed and cut": BATCH[:-9],
    "larger than it says": BATCH[:3] + struct.pack(">I", 3) + BATCH[7:],
    "smaller than it says": BATCH[:3] + struct.pack(">I", 300) + BATCH[7:],
    "larger than allowed": BATCH[:3] + struct.pack(">I", 1_000) + BATCH[7:],
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_bad(data: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rabbitmq_chunk, "MAX_BYTES", 500)
    with pytest.raises(ValueError, match=r"message|batch"):
        found(data, 1)


def test_checksum():
    """It depends on the time of the chunk, too."""
    messages = [*messages_of(chunk(sized(b"one", b"one", b"two"), 3))]
    (later,) = messages_of(SimpleNamespace(timestamp=6, chunk_first_offset=7, data=sized(b"one"), num_entries=1))
    assert messages[0].checksum == messages[1].checksum
    assert len({messages[0].checksum, messages[2].checksum, later.checksum}) == 3
