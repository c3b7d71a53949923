"""RabbitMQ streams: what only RabbitMQ has. test_brokers.py tests the rest."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ddmlp.data.manifest import Manifest
from ddmlp.data.sources import fetch_size, rabbitmq_stream
from ddmlp.data.sources.rabbitmq_chunk import StoredMessage
from ddmlp.data.sources.registry import open_stream
from tests.data.sources.test_brokers import ingest, refusal
from tests.support.broker import raw
from tests.support.ingests import ingesting, numbers
from tests.support.rabbitmq_server import RabbitMQ, encoded
from tests.support.streams import until

pytestmark = [pytest.mark.sources, pytest.mark.xdist_group("rabbitmq")]


def test_simple(rabbitmq: RabbitMQ, tmp_path: Path):
    """The server shows the offset of the last message, when it is published."""
    rabbitmq.send("digits", raw(range(10)))
    ingest(rabbitmq.uri("digits", format="raw"), tmp_path / "data", 10)
    position = Manifest.read(tmp_path / "data").position
    assert position.identity == {"kind": "rabbitmq", "vhost": "/", "stream": "digits"}
    following, _, checksum = position.offsets["digits"].partition("@")
    assert len(checksum) == 8
    until(lambda: rabbitmq.ask(lambda client: client.query_offset("digits", "ddmlp")) == int(following) - 1)


def send_batch(server: RabbitMQ, stream: str, codec: int, *contents: bytes) -> None:
    """Send messages in a batch, compressed by gzip."""
    from rstream import schema

    content = b"".join(struct.pack(">I", len(each)) + each for each in contents)
    stored = pa.compress(content, "gzip", asbytes=True)
    frame = schema.PublishSubBatching(
        publisher_id=2,
        number_of_root_messages=1,
        publishing_id=1,
        compress_type=0x80 | codec << 4,
        subbatching_message_count=len(contents),
        uncompressed_data_size=len(content),
        compressed_data_size=len(stored),
        messages=stored,
    )

    async def work(client: Any) -> None:
        confirmed = client.wait_frame(schema.PublishConfirm)
        await client.declare_publisher(stream, None, 2)
        await client.send_frame(frame)
        await confirmed

    server.ask(work)


def test_batch(rabbitmq: RabbitMQ, tmp_path: Path):
    """Messages of compressed batches have offsets of their own."""
    rabbitmq.send("batches", raw(range(10)))
    send_batch(rabbitmq, "batches", 1, *(encoded(*each) for each in raw(range(10, 20))))
    uri = rabbitmq.uri("batches", format="raw")
    ingest(uri, tmp_path / "data", 20)
    rabbitmq.send("batches", raw(range(20, 25)))
    ingest(uri, tmp_path / "data", 25)
    assert numbers(tmp_path / "data") == list(range(25))


def test_within_chunk(rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run continues in the middle of a chunk, which is delivered from its beginning."""
    monkeypatch.setattr(rabbitmq_stream, "MAX_MESSAGES", 7)
    rabbitmq.send("chunks", raw(range(100)))
    uri = rabbitmq.uri("chunks", format="raw")
    with ingesting(open_stream(uri), tmp_path / "data", rows=10, seconds=0.01, spool_bytes=1) as found:
        until(lambda: found.error or found.waits)
    found.raise_error()
    count = len(numbers(tmp_path / "data"))
    offsets, messages_of = list[int](), rabbitmq_stream.messages_of

    def note(chunk: Any) -> Iterator[StoredMessage]:
        offsets.append(chunk.chunk_first_offset)
        return messages_of(chunk)

    monkeypatch.setattr(rabbitmq_stream, "messages_of", note)
    ingest(uri, tmp_path / "data", 100)
    assert offsets[0] < count < 100
    assert numbers(tmp_path / "data") == list(range(100))


def test_unknown_codec(rabbitmq: RabbitMQ, tmp_path: Path):
    rabbitmq.send("snappy", raw(range(10)))
    send_batch(rabbitmq, "snappy", 2, b"one")
    for _ in range(2):
        message = refusal(rabbitmq.uri("snappy", format="raw"), tmp_path / "data")
        assert "codec 2" in message


def test_own_records(rabbitmq: RabbitMQ, tmp_path: Path):
    """Offsets of RabbitMQ's own records, such as offsets that consumers store, are no gap."""
    uri = rabbitmq.uri("records", format="raw")
    rabbitmq.send("records", raw(range(3)))
    with ingesting(open_stream(uri), tmp_path / "data", seconds=0.01) as found:
        for count in range(3, 6):
            until(lambda count=count: found.error or len(numbers(tmp_path / "data")) == count)
            rabbitmq.ask(lambda client: client.store_offset("records", "another", 1))
            rabbitmq.send("records", raw([count]))
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 6)
    found.raise_error()
    position = Manifest.read(tmp_path / "data").position
    assert int(position.offsets["records"].partition("@")[0]) > 6, "there are no such records"


def test_gap_while_connected(rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The server drops messages that a run with few credits has not got yet."""
    monkeypatch.setattr(fetch_size, "MAX_MESSAGES", 1)
    rabbitmq.send("passed", raw(range(10)))
    uri = rabbitmq.uri("passed", format="raw")
    with ingesting(open_stream(uri), tmp_path / "data", rows=1, seconds=0.01, spool_bytes=1) as found:
        until(lambda: found.error or found.waits)
        rabbitmq.trim("passed", 3)
        found.trained = 10
        until(lambda: found.error)
    assert "gap" in str(found.error)
    assert numbers(tmp_path / "data") == list(range(len(numbers(tmp_path / "data"))))
    assert len(numbers(tmp_path / "data")) < 7


def test_last_message_dropped(rabbitmq: RabbitMQ, tmp_path: Path):
    """Without it, it is not known whether only RabbitMQ's own records were between it and the next one."""
    uri = rabbitmq.uri("dropped", format="raw")
    rabbitmq.send("dropped", raw(range(10)))
    ingest(uri, tmp_path / "data", 10)
    rabbitmq.send("dropped", raw(range(10, 20)))
    rabbitmq.trim("dropped", 10)
    assert "gap" in refusal(uri, tmp_path / "data")
