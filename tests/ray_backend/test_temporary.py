"""The folder for temporary files, and the options of a local Ray on a machine that lacks something."""

import logging
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddmlp.errors import ClusterError
from ddmlp.ray_backend import cluster, temporary
from ddmlp.ray_backend.choice import Choice
from ddmlp.ray_backend.temporary import LONGEST, has_room, ray_folder, temporary_folder

LOCAL = Choice(None, "address")


def test_simple(short: Path, monkeypatch: pytest.MonkeyPatch):
    """RAY_TMPDIR is for Ray only, TMPDIR for both; an empty variable counts as unset."""
    monkeypatch.setenv("RAY_TMPDIR", "")
    monkeypatch.setenv("TMPDIR", "")
    assert temporary_folder() == Path("/tmp")
    monkeypatch.setenv("TMPDIR", str(short))
    assert (temporary_folder(), ray_folder()) == (short, short / "ray")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert (temporary_folder(), ray_folder().parent) == (short, Path("/tmp"))


def test_a_long_path(short: Path, monkeypatch: pytest.MonkeyPatch):
    long = short / ("x" * LONGEST)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert temporary_folder() == ray_folder().parent == Path("/tmp")
    session = "session_2026-11-28_10-19-43_123456_1234567/sockets/plasma_store"
    assert len(f"{'x' * LONGEST}/ray-{1 << 30}/{session}") <= 107


def test_no_place(short: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_TMPDIR", f"{short}/gone")
    with pytest.raises(ClusterError, match=f"{short}/gone is missing.* RAY_TMPDIR"):
        ray_folder()
    monkeypatch.setenv("TMPDIR", str(short))
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(ClusterError, match=f"{short} is not writable.* TMPDIR"):
            temporary_folder()
    monkeypatch.setattr(temporary, "LEAST_FREE", 1 << 60)
    with pytest.raises(ClusterError, match=f"{short} is full; .* MiB"):
        temporary_folder()


def test_folder_of_another_user(short: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    (short / "ray").mkdir()
    assert ray_folder() == short / "ray"
    monkeypatch.setattr(os, "access", lambda path, _mode: path != short / "ray")
    assert ray_folder() == short / f"ray-{os.getuid()}"


def test_room(short: Path):
    assert has_room(short, 1)
    assert not has_room(short, 1 << 60)
    assert not has_room(short / "gone", 1)


@pytest.fixture
def options(short: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options that a fake Ray is started with."""
    asked: dict[str, Any] = {}
    address = {"gcs_address": "127.0.0.1:1", "raylet_socket_name": "/raylet", "webui_url": ""}
    ray = SimpleNamespace(init=lambda **options: asked.update(options) or SimpleNamespace(address_info=address))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ["RAY_TMPDIR"] = str(short)
    return asked


def test_options(options: dict[str, Any], short: Path):
    assert cluster.connect(LOCAL).own
    assert options["_temp_dir"] == str(short / "ray")
    assert "_plasma_directory" not in options
    assert options["logging_level"] == logging.ERROR


def test_little_shared_memory(options: dict[str, Any], short: Path, monkeypatch: pytest.MonkeyPatch):
    """The object store is on disk, because no array of a training is in it. The same if /dev/shm is read-only."""
    monkeypatch.setattr(cluster, "OBJECT_STORE_BYTES", 1 << 60)
    cluster.connect(LOCAL)
    assert options["_plasma_directory"] == str(short / "ray")


def test_no_loopback(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1: Network is unreachable.* without workers"):
        cluster.connect(LOCAL)
    assert options == {}


def test_one_token_a_process(options: dict[str, Any]):
    """Ray keeps the first."""
    cluster.connect(LOCAL)
    first = os.environ.pop("RAY_AUTH_TOKEN")
    cluster.connect(LOCAL)
    assert os.environ["RAY_AUTH_TOKEN"] == first
    assert options["address"] == "local"


def test_no_cpus(monkeypatch: pytest.MonkeyPatch):
    found = cluster.Cluster(SimpleNamespace(cluster_resources=dict, shutdown=lambda: None), "there:6379", False, "")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(cluster, "ask_head", lambda _: None)
    monkeypatch.setattr(cluster, "_connected", lambda *_: found)
    monkeypatch.setattr(cluster.time, "sleep", lambda _: None)
    with pytest.raises(ClusterError, match=r"there:6379 .* no CPUs.* ray start --address there:6379"):
        cluster.connect(Choice("there:6379", "address"))
