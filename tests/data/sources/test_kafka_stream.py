"""Kafka topics: what only Kafka has. test_brokers.py tests the rest."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ddmlp.data.manifest import Manifest
from ddmlp.data.sources import kafka_stream
from ddmlp.data.sources.registry import open_stream
from ddmlp.errors import ConfigError
from tests.data.sources.test_brokers import ingest, refusal
from tests.support.broker import raw
from tests.support.brokers import running
from tests.support.certificates import write_server_files
from tests.support.ingests import ingesting, numbers
from tests.support.kafka_proxy import proxy
from tests.support.kafka_server import Kafka
from tests.support.streams import until

pytestmark = pytest.mark.sources


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with running("kafka", tmp_path_factory.mktemp("kafka")) as found:
        assert isinstance(found, Kafka)
        yield found


def test_simple(server: Kafka, tmp_path: Path):
    """Several partitions: each in its order, and the group shows how far they are read."""
    server.make("parts", partitions=3)
    for partition in range(3):
        server.send("parts", raw(range(100 * partition, 100 * partition + 20)), partition)
    uri = server.uri("parts", format="raw")
    ingest(uri, tmp_path / "data", 60)
    server.send("parts", raw(range(20, 30)), 0)
    server.send("parts", raw(range(220, 225)), 2)
    ingest(uri, tmp_path / "data", 75)
    found = numbers(tmp_path / "data")
    for first, count in ((0, 30), (100, 20), (200, 25)):
        assert [each for each in found if first <= each < first + 100] == list(range(first, first + count))
    position = Manifest.read(tmp_path / "data").position
    assert {each: text.partition("@")[0] for each, text in position.offsets.items()} == {
        "0": "30",
        "1": "20",
        "2": "25",
    }
    assert {"kind": "kafka", "topic": "parts"}.items() <= position.identity.items()
    until(lambda: server.committed("parts", 3) == [30, 20, 25])


def test_new_partition(server: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is read from its beginning, also while the run is connected."""
    from confluent_kafka.admin import NewPartitions

    monkeypatch.setattr(kafka_stream, "LOOK_SECONDS", 0.0)
    server.make("grows", partitions=1)
    server.send("grows", raw(range(5)), 0)
    with ingesting(open_stream(server.uri("grows", format="raw")), tmp_path / "data", seconds=0.01) as found:
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 5)
        admin = server.client("AdminClient")
        admin.create_partitions([NewPartitions("grows", 2)])["grows"].result(5)
        server.send("grows", raw(range(5, 9)), 1)
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 9)
    found.raise_error()
    assert numbers(tmp_path / "data") == list(range(9))


def test_no_answer(server: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A topic whose id is not found for the moment is not another topic."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient

    uri = server.uri("silent", format="raw")
    server.send("silent", raw(range(5)))
    ingest(uri, tmp_path / "data", 5)
    server.send("silent", raw(range(5, 9)))
    describe, asked = AdminClient.describe_topics, []

    def silent(self: AdminClient, *arguments: Any, **options: Any) -> Any:
        asked.append(self)
        if len(asked) == 1:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return describe(self, *arguments, **options)

    monkeypatch.setattr(AdminClient, "describe_topics", silent)
    ingest(uri, tmp_path / "data", 9)
    assert len(asked) == 2
    assert numbers(tmp_path / "data") == list(range(9))


def test_label_as_key(server: Kafka, tmp_path: Path):
    server.make("keys")
    producer = server.client("Producer")
    producer.produce("keys", b"\7\7\7\7", key=b"7")
    producer.flush(10)
    ingest(server.uri("keys", format="raw"), tmp_path / "data", 1)


def test_lost_messages(tmp_path: Path):
    """The server was killed before it had on disk what it had acknowledged."""
    (tmp_path / "server").mkdir()
    with running("kafka", tmp_path / "server") as server:
        server.send("digits", raw(range(20)))
        server.settle()
        server.kill()
        shutil.copytree(server.folder, tmp_path / "early")
        server.start()
        uri = server.uri("digits", format="raw")
        server.send("digits", raw(range(20, 40)))
        ingest(uri, tmp_path / "data", 40)
        server.kill()
        shutil.rmtree(server.folder)
        shutil.move(tmp_path / "early", server.folder)
        server.start()
        assert server.count("digits") == 20
        server.send("digits", raw(range(100, 160)))
        assert "start a new run" in refusal(uri, tmp_path / "data")


def test_compacted(server: Kafka, tmp_path: Path):
    server.make("compacted", config={"cleanup.policy": "compact"})
    assert "compacted" in refusal(server.uri("compacted"), tmp_path / "data")


def test_no_topic(server: Kafka, tmp_path: Path):
    assert "absent is no topic" in refusal(server.uri("absent"), tmp_path / "data")


def test_settings(server: Kafka, tmp_path: Path):
    server.send("settings", raw(range(3)))
    (tmp_path / "client").write_text("group.id=trainer\nclient.id=test\n")
    ingest(server.uri("settings", format="raw", config=str(tmp_path / "client")), tmp_path / "data", 3)
    until(lambda: server.committed("settings", 1, "trainer") == [3])
    (tmp_path / "client").write_text("auto.offset.reset=latest\n")
    with pytest.raises(ConfigError, match=r"auto\.offset\.reset"):
        open_stream(server.uri("settings", config=str(tmp_path / "client")))
    (tmp_path / "client").write_text("no.such.setting=hunter2\n")
    message = refusal(server.uri("settings", config=str(tmp_path / "client")), tmp_path / "other")
    assert "no.such.setting" in message
    assert "hunter2" not in message


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A server for proxies at another address with the same port; its topic digits has 5 messages."""
    with running("kafka", tmp_path_factory.mktemp("hidden"), host="127.0.0.2") as found:
        found.send("digits", raw(range(5)))
        assert isinstance(found, Kafka)
        yield found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_stream, "SHORT_SECONDS", 0.05)


@pytest.mark.usefixtures("quick")
def test_tls(hidden: Kafka, tmp_path: Path):
    files = write_server_files(tmp_path)
    (tmp_path / "client").write_text(f"security.protocol=ssl\nssl.ca.location={files}/ca.crt\n")
    (tmp_path / "other").write_text("security.protocol=ssl\n")
    with proxy(hidden, files=files) as address:
        uri = f"kafka://{address}/digits?format=raw&config={tmp_path}"
        ingest(f"{uri}/client", tmp_path / "data", 5)
        assert "certificate" in refusal(f"{uri}/other", tmp_path / "new")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("mechanism", "tls"), [("PLAIN", False), ("SCRAM-SHA-256", True)])
def test_password(hidden: Kafka, tmp_path: Path, mechanism: str, tls: bool):
    files, client = write_server_files(tmp_path), tmp_path / "client"
    protocol = f"security.protocol={'sasl_ssl' if tls else 'sasl_plaintext'}\nssl.ca.location={files}/ca.crt\n"
    login = f"{protocol}sasl.mechanism={mechanism}\nsasl.username=trainer\nsasl.password="
    with proxy(hidden, files=files if tls else None, users={"trainer": "hunter2"}) as address:
        uri = f"kafka://{address}/digits?format=raw&config={client}"
        client.write_text(f"{login}hunter2\n")
        ingest(uri, tmp_path / "data", 5)
        client.write_text(f"{login}other\n")
        for path in (tmp_path / "data", tmp_path / "new"):  # also when a run continues, it does not wait
            message = refusal(uri, path)
            assert "password" in message
            assert "other" not in message
        client.write_text("security.protocol=plaintext\n")
        assert "security.protocol" in refusal(uri, tmp_path / "new")
