"""Redis Streams: what only Redis has. test_brokers.py tests the rest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddmlp.data.manifest import Manifest
from ddmlp.data.sources.redis_info import RedisInfo, id_of, look
from ddmlp.data.sources.registry import open_stream
from ddmlp.errors import ConfigError
from tests.data.sources.test_brokers import ingest, refusal
from tests.support.broker import free_port, raw
from tests.support.brokers import running
from tests.support.certificates import write_server_files
from tests.support.ingests import ingesting, numbers
from tests.support.redis_server import Redis
from tests.support.streams import until

pytestmark = pytest.mark.sources


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running("redis", tmp_path_factory.mktemp("redis")) as found:
        assert isinstance(found, Redis)
        yield found


def test_simple(server: Redis, tmp_path: Path):
    """The consumer group shows how far the stream is read, and what is not."""
    server.send("group", raw(range(10)))
    ingest(server.uri("group", format="raw"), tmp_path / "data", 10)
    server.send("group", raw(range(3)))
    with server.client() as client:
        (group,) = client.xinfo_groups("group")
    position = Manifest.read(tmp_path / "data").position
    assert position.identity == {"kind": "redis", "stream": "group", "group": group["name"].decode()}
    assert (group["entries-read"], group["lag"], group["consumers"]) == (10, 3, 0)
    assert position.offsets == {"group": f"{group['last-delivered-id'].decode()}@10"}


def test_look(server: Redis):
    """What Redis says about a stream comes without the contents of its entries."""
    server.send("large", [(bytes(100_000), b"1")] * 3)
    with server.client() as client:
        found, info = client.eval(*look(b"large")), client.xinfo_stream("large")
        ids = [each for each, _ in client.xrange("large")]
    assert max(len(each) for each in found if isinstance(each, bytes)) < 100
    assert RedisInfo.of(found) == (3, info["entries-added"], id_of(ids[0]), id_of(ids[2]), (0, 0))
    assert info["entries-added"] == 3


def test_not_permitted(server: Redis, tmp_path: Path):
    """The error of a user who may not run scripts names the command that is missing."""
    server.send("permits", raw(range(3)))
    (tmp_path / "client").write_text("username=reader\npassword=hunter2\n")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">hunter2", "~*", "+@all", "-eval")
    assert "eval" in refusal(server.uri("permits", format="raw", config=str(tmp_path / "client")), tmp_path / "data")


def test_deleted_entry(server: Redis, tmp_path: Path):
    """An entry was deleted singly, before it was read."""
    uri = server.uri("deleted", format="raw")
    server.send("deleted", raw(range(10)))
    ingest(uri, tmp_path / "data", 10)
    server.send("deleted", raw(range(10, 20)))
    with server.client() as client:
        client.xdel("deleted", client.xrange("deleted")[14][0])
        assert "gap" in refusal(uri, tmp_path / "data")
        assert "was deleted" in refusal(uri, tmp_path / "new")
        client.xdel("deleted", *[name for name, _ in client.xrange("deleted")[:15]])
    assert "gap: 6 entries" in refusal(uri, tmp_path / "data")
    assert numbers(tmp_path / "data") == list(range(10))


def test_deleted_entry_that_was_read(server: Redis, tmp_path: Path):
    uri = server.uri("read", format="raw")
    server.send("read", raw(range(10)))
    ingest(uri, tmp_path / "data", 10)
    with server.client() as client:
        client.xdel("read", client.xrange("read")[4][0])
    server.send("read", raw(range(10, 12)))
    ingest(uri, tmp_path / "data", 12)
    assert numbers(tmp_path / "data") == list(range(12))


def test_lost_entries(server: Redis, tmp_path: Path):
    """Redis has lost the newest entries, as it may without a sync of each, and has others now."""
    uri = server.uri("lost", format="raw")
    server.send("lost", raw(range(10)))
    ingest(uri, tmp_path / "data", 10)
    with server.client() as client:
        newest = client.xrevrange("lost", count=3)
        client.xdel("lost", *[name for name, _ in newest])
        server.send("lost", raw(range(20, 30)))
    assert f"{newest[0][0].decode()} was read before, and is gone" in refusal(uri, tmp_path / "data")


def test_not_a_stream(server: Redis, tmp_path: Path):
    with server.client() as client:
        client.set("text", "abc")
    assert "WRONGTYPE" in refusal(server.uri("text"), tmp_path / "data")
    assert "DB index" in refusal(server.uri("text", db="999"), tmp_path / "data")


def test_stream_without_entries(server: Redis, tmp_path: Path):
    """The run may begin before its producer."""
    with ingesting(open_stream(server.uri("later", format="raw")), tmp_path / "data", seconds=0.01) as found:
        with server.client() as client:
            until(lambda: client.exists("later"))
        server.send("later", raw(range(3)))
        until(lambda: found.error or len(numbers(tmp_path / "data")) == 3)
    found.raise_error()


def test_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "server").mkdir()
    with running("redis", tmp_path / "server", requirepass="hunter2") as server:
        server.send("digits", raw(range(5)))
        uri = server.uri("digits", format="raw")
        assert "REDISCLI_AUTH" in refusal(uri, tmp_path / "data")
        monkeypatch.setenv("REDISCLI_AUTH", "other")
        assert "other" not in refusal(uri, tmp_path / "data")
        monkeypatch.setenv("REDISCLI_AUTH", "hunter2")
        ingest(uri, tmp_path / "data", 5)
        monkeypatch.delenv("REDISCLI_AUTH")
        (tmp_path / "client").write_text("username=default\npassword=hunter2\n")
        ingest(server.uri("digits", format="raw", config=str(tmp_path / "client")), tmp_path / "data", 5)


def test_tls(tmp_path: Path):
    files = write_server_files(tmp_path)
    port = free_port()
    (tmp_path / "server").mkdir()
    tls = {"tls-cert-file": str(files / "tls.crt"), "tls-key-file": str(files / "tls.key")}
    tls |= {"tls-ca-cert-file": str(files / "ca.crt"), "tls-port": str(port)}
    paths = {"ssl_ca_certs": files / "ca.crt", "ssl_certfile": files / "tls.crt", "ssl_keyfile": files / "tls.key"}
    (tmp_path / "client").write_text("".join(f"{name}={path}\n" for name, path in paths.items()))
    with running("redis", tmp_path / "server", **tls) as server:
        server.send("digits", raw(range(5)))
        uri = f"rediss://127.0.0.1:{port}/digits?format=raw"
        assert "certificate" in refusal(uri, tmp_path / "data").lower()
        ingest(f"{uri}&config={tmp_path}/client", tmp_path / "data", 5)
        assert numbers(tmp_path / "data") == list(range(5))


@pytest.mark.parametrize("options", ["db=x", "db=-1", "config=/nowhere", "group=a"])
def test_bad_options(options: str):
    with pytest.raises(ConfigError):
        open_stream(f"redis://localhost/digits?{options}")
