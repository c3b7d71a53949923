"""The choice of a Ray, and its reason: a named one, or one of this user."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddmlp.errors import ClusterError, ConfigError
from ddmlp.ray_backend import choice
from ddmlp.ray_backend.choice import Choice, choose


@pytest.fixture(autouse=True)
def folder(short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Ray's record. The environment names no Ray, and this program is connected to none."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    (short / "ray").mkdir()
    return short / "ray"


@pytest.fixture
def address() -> Iterator[str]:
    """An address at which a process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield "{}:{}".format(*server.getsockname())


def test_named(address: str, monkeypatch: pytest.MonkeyPatch):
    assert choose(address) == Choice(address, "address")
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert choose() == Choice(address, "RAY_ADDRESS")
    assert choose("local") == Choice(None, "address")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert choose() == Choice(None, "RAY_ADDRESS")
    assert choose(address) == Choice(address, "address")


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_address_is_none(empty: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", empty)
    assert choose().own


BAD = ["http://127.0.0.1:8265", "https://there", "ray://there:10001", "localhost", ":6379", "there:", "there:0",
       "there:x", "there:65536", "there:६", "fe80::1:6379", "[::1]", "[::1:6379", "[there]:6379", "a:b:1",
       pytest.param("there:" + 5_000 * "9", id="long")]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_bad_address(bad: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError) as caught:
        choose(bad)
    assert str(caught.value).startswith(f"address is {bad}")
    assert "HOST:PORT" in str(caught.value)
    monkeypatch.setenv("RAY_ADDRESS", bad)
    with pytest.raises(ConfigError) as caught:
        choose()
    assert str(caught.value).startswith(f"RAY_ADDRESS is {bad}")


def test_other_servers():
    with pytest.raises(ConfigError, match="dashboard"):
        choose("http://127.0.0.1:8265")
    with pytest.raises(ConfigError, match="Ray Client"):
        choose("ray://127.0.0.1:10001")


def test_ipv6():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        address = f"[::1]:{server.getsockname()[1]}"
        assert choose(address) == Choice(address, "address")


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return "{}:{}".format(*server.getsockname())


def test_nothing_answers(monkeypatch: pytest.MonkeyPatch):
    closed = closed_port()
    with pytest.raises(ClusterError, match=rf"{closed} \(address\).*no address"):
        choose(closed)
    monkeypatch.setenv("RAY_ADDRESS", closed)
    with pytest.raises(ClusterError, match=rf"{closed} \(RAY_ADDRESS\).*unset RAY_ADDRESS"):
        choose()


def test_own_ray(address: str, folder: Path):
    assert choose().own
    with pytest.raises(ClusterError, match="ray start --head"):
        choose("auto")
    (folder / "ray_current_cluster").write_text(address)
    assert choose() == choose("auto") == Choice(address, "it is yours and runs on this machine")


def test_ray_of_another_user(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever owns the record: Ray leaves it unchanged if another user's Ray has the same address."""
    (folder / "ray_current_cluster").write_text(address)
    user = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert choose().own
    assert address in choose().why
    with pytest.raises(ClusterError, match=f"{address} .*another user"):
        choose("auto")
    assert choose(address) == Choice(address, "address"), "unless it is named"


def test_owner_of_the_record(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """It decides if the system does not show who listens."""
    monkeypatch.setattr(choice, "PROC", folder / "nowhere")
    (folder / "ray_current_cluster").write_text(address)
    assert choose().address == address
    user = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert choose().own


@pytest.mark.parametrize("record", [b"", b"\xff\xfe", b"nonsense", b"there:x"])
def test_damaged_record(record: bytes, folder: Path):
    (folder / "ray_current_cluster").write_bytes(record)
    assert choose().own


def test_one_that_is_gone(folder: Path):
    (folder / "ray_current_cluster").write_text(closed := closed_port())
    assert choose().own
    assert closed in choose().why


def test_ray_of_program(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    context = SimpleNamespace(gcs_address="10.0.0.1:6379")
    ray = SimpleNamespace(is_initialized=lambda: True, get_runtime_context=lambda: context)
    monkeypatch.setitem(sys.modules, "ray", ray)
    (folder / "ray_current_cluster").write_text(address)
    assert choose() == choose("auto") == Choice("10.0.0.1:6379", "this program is connected to it")
    assert choose(address).address == address
    assert choose("local").own
