"""The questions to the head of a Ray, which a small server answers."""

import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest

from ddmlp.errors import ClusterError
from ddmlp.ray_backend import head
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.head import METHOD, SESSION, VERSIONS, Head, ask_head, check_node, find_token

HERE = version("ray"), ".".join(map(str, sys.version_info[:3]))
ANSWER = b'\n\x00\x12P{"ray_version": "%s", "python_version": "%s", "ray_init_cluster": false}'


class Server(grpc.GenericRpcHandler):
    """A head that requires its token, if it has one."""

    def __init__(self) -> None:
        self.answer, self.token = ANSWER % tuple(each.encode() for each in HERE), ""
        self.session = b"\n\x00\x12(session_2026-11-28_10-54-51_396731_21538"

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.reply) if details.method == METHOD else None

    def reply(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self.token and ("authorization", f"Bearer {self.token}") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return {VERSIONS: self.answer, SESSION: self.session}[request]


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadPoolExecutor(1) as pool:
        handler, server = Server(), grpc.server(pool)
        server.add_generic_rpc_handlers((handler,))
        handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield handler
        server.stop(0).wait()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a token."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", *head.LEFT_TO_RAY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    return tmp_path


def test_simple(server: Server):
    found = ask_head(server.address)
    assert found == Head(server.address, "disabled", HERE, "session_2026-11-28_10-54-51_396731_21538")
    assert found.differs == ""


def test_unneeded_token(server: Server, home: Path):
    (home / ".ray" / "auth_token").write_text("0" * 64)
    assert ask_head(server.address).authentication == "disabled"


def test_the_token(server: Server, home: Path):
    server.token = "1" * 64
    path = home / ".ray" / "auth_token"
    with pytest.raises(ClusterError, match=rf"{server.address} .*token, and {path} has none"):
        ask_head(server.address)
    path.write_text("0" * 64)
    with pytest.raises(ClusterError, match=rf"{server.address} .*token, and {path} has another.*AUTH_TOKEN_PATH"):
        ask_head(server.address)
    path.write_text(server.token + "\n")
    assert ask_head(server.address).authentication == "token"


def test_places_of_token(home: Path, monkeypatch: pytest.MonkeyPatch):
    """In Ray's order: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token."""
    default, other = home / ".ray" / "auth_token", home / "other"
    assert find_token() == ("", str(default))
    default.write_text("default")
    assert find_token() == ("default", str(default))
    other.write_text("other")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
    assert find_token() == ("other", str(other))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "first")
    assert find_token() == ("first", "RAY_AUTH_TOKEN")


def test_versions(server: Server):
    server.answer = ANSWER % (b"2.9.3", b"3.8.10")
    differs = ask_head(server.address).differs
    for each in ("Ray 2.9.3", "Python 3.8.10", server.address, f"Ray {HERE[0]}", f"Python {HERE[1]}", sys.executable):
        assert each in differs


@pytest.mark.parametrize("answer", [b"", b"{", b"{}", b"[1]", b"\xff{\xff}", b'{"ray_version": 1}'])
def test_no_versions(server: Server, answer: bytes):
    server.answer = server.session = answer
    assert ask_head(server.address) == Head(server.address, "disabled", None)
    assert ask_head(server.address).differs == ""


def test_no_head():
    """The server at the address does not speak the protocol of a head."""
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor(1) as pool:
        address = "{}:{}".format(*other.getsockname())

        def answer() -> None:
            with other.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        pool.submit(answer)
        with pytest.raises(ClusterError, match=f"{address} is not the head of a Ray"):
            ask_head(address)


def test_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(head, "ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "{}:{}".format(*other.getsockname())
        with pytest.raises(ClusterError, match=f"{address} is not the head of a Ray: "):
            ask_head(address)


@pytest.mark.parametrize("name", head.LEFT_TO_RAY)
def test_left_to_ray(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "1")
    assert ask_head("nowhere:1") is None


def test_a_real_one(cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ClusterError, match="token"):
        ask_head(cluster.address)
    from ddmlp.ray_backend import cluster as module

    monkeypatch.setenv("RAY_AUTH_TOKEN", module._token)
    found = ask_head(cluster.address)
    assert (found.authentication, found.versions) == ("token", HERE)
    check_node(found)
    with pytest.raises(ClusterError, match=f"{cluster.address} has no node on this machine"):
        check_node(replace(found, session="session_another"))


def test_node_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It has a folder in which this user cannot write."""
    monkeypatch.setattr(head, "PROC", tmp_path)
    found, logs = Head("there:6379", "disabled", HERE, "session_1"), tmp_path / "logs"
    for number, program in (("7", b"/ray/raylet"), ("8", b"/ray/gcs_server")):
        (tmp_path / number).mkdir()
        words = [program, b"--session-name=session_1", b"--log_dir=" + bytes(logs)]
        (tmp_path / number / "cmdline").write_bytes(b"\0".join(words))
    (logs / "events").mkdir(parents=True)
    check_node(found)
    for sealed in (logs, logs / "events"):
        monkeypatch.setattr(os, "access", lambda path, _mode, sealed=sealed: path != sealed)
        with pytest.raises(ClusterError, match=f"user {os.getuid()}, .* {sealed}; .* address local"):
            check_node(found)
    with pytest.raises(ClusterError, match="has no node on this machine"):
        check_node(replace(found, session="session_2"))
    check_node(replace(found, session=""))
