"""Whether Ray is alive, as its sockets show. No Ray is needed."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddmlp.ray_backend import probe
from ddmlp.ray_backend.probe import RayProbe


class FakeRay:
    """The sockets of a GCS and a raylet."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "raylet")
        self.raylet = socket.socket(socket.AF_UNIX)
        self.raylet.bind(self.path)
        self.raylet.listen()
        self.gcs = socket.create_server(("127.0.0.1", 0))
        self.probe = RayProbe(f"127.0.0.1:{self.gcs.getsockname()[1]}", self.path, every=0, patience=0)
        self.connected, _ = self.raylet.accept()

    def close(self) -> None:
        for each in (self.probe, self.connected, self.raylet, self.gcs):
            each.close()


@pytest.fixture
def ray(short: Path) -> Iterator[FakeRay]:
    found = FakeRay(short)
    yield found
    found.close()


def test_simple(ray: FakeRay):
    assert ray.probe.missing() is None
    assert ray.probe.lost() is None


def test_gcs_gone(ray: FakeRay):
    ray.gcs.close()
    assert "GCS" in str(ray.probe.lost())


def test_raylet_gone(ray: FakeRay):
    ray.connected.close()
    assert "raylet" in str(ray.probe.lost())


def test_no_raylet_at_first(ray: FakeRay, short: Path):
    other = RayProbe(f"[::ffff:127.0.0.1]:{ray.gcs.getsockname()[1]}", str(short / "none"))
    assert "raylet" in str(other.missing())
    other.close()


def test_patience(ray: FakeRay):
    patient = RayProbe(f"127.0.0.1:{ray.gcs.getsockname()[1]}", ray.path, every=0, patience=3600)
    ray.gcs.close()
    assert patient.missing() is not None
    assert patient.lost() is None, "it has not been silent for an hour"
    patient.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that does not answer: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as one:
        one.connect(server.getsockname())
        yield "{}:{}".format(*server.getsockname())


def test_gcs_unreachable(ray: FakeRay, silent: str, monkeypatch: pytest.MonkeyPatch):
    """A machine that does not answer may be cut off for a while: longer than a process that has ended."""
    monkeypatch.setattr(probe, "CONNECT_SECONDS", 0.05)
    hasty = RayProbe(silent, ray.path, every=0, patience=3600, unreachable=0)
    patient = RayProbe(silent, ray.path, every=0, patience=0, unreachable=3600)
    assert hasty.lost() is None, "it does not wait for an answer"
    assert "cannot be reached" in str(hasty.missing())
    while (found := hasty.lost()) is None:
        pass
    assert silent in found
    assert "cannot be reached" in str(patient.missing())
    assert patient.lost() is None
    hasty.close()
    patient.close()


def test_raylet_gone_and_gcs_silent(ray: FakeRay, silent: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe, "CONNECT_SECONDS", 0.05)
    found = RayProbe(silent, ray.path)
    other, _ = ray.raylet.accept()
    assert "cannot be reached" in str(found.missing())
    other.close()
    assert "raylet" in str(found.missing())
    found.close()
