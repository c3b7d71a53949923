"""Chunks of RabbitMQ streams, and the payloads of their messages."""

import struct
from types import SimpleNamespace

import pyarrow as pa
import pytest

from ddmlp.data.sources import rabbitmq_chunk
from ddmlp.data.sources.rabbitmq_chunk import messages_of, payload_of

pytest.importorskip("rstream", reason="the extra rabbitmq is not installed")


def sized(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(each)) + each for each in messages)


def batch(codec: int, *messages: bytes, name: str | None = None) -> bytes:
    content = sized(*messages)
    stored = pa.compress(content, name, asbytes=True) if name else content
    return struct.pack(">BHII", 0x80 | codec << 4, len(messages), len(content), len(stored)) + stored


def chunk(data: bytes, entries: int) -> SimpleNamespace:
    return SimpleNamespace(chunk_first_offset=7, data=data, num_entries=entries)


def found(data: bytes, entries: int) -> list[tuple[int, bytes]]:
    return [(offset, bytes(message)) for offset, message in messages_of(chunk(data, entries))]


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


def test_payloads():
    from rstream import AMQPMessage

    def payload(**sections: object) -> tuple[bytes | None, bytes | None]:
        return payload_of(memoryview(bytes(AMQPMessage(**sections))))

    assert payload(body=b"pixels") == (b"pixels", None)
    assert payload(body=b"pixels", application_properties={"label": "7"}) == (b"pixels", b"7")
    assert payload(body=b"pixels", application_properties={"label": 7, "other": "8"}) == (b"pixels", b"7")
    assert payload(body=b"pixels", message_annotations={"label": "7"}) == (b"pixels", None)
    assert payload(value=b"text") == (b"text", None)
    assert payload(value=7) == (None, None)
    assert payload(application_properties={"label": "7"}) == (None, b"7")


@pytest.mark.parametrize(
    "content", [b"", b"\0", b'{"label": 7}', b"\0Su", b"\0Su\xa0", b"\0St\xff\xff\xff", b"\0So\xa0\1a"]
)
def test_bytes_without_amqp(content: bytes):
    assert payload_of(memoryview(content)) == (content, None)
