"""The driver, in this process and on a fake Ray: its notes for the user, and its answers to requests."""

from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ddmlp.errors import ClusterError, DatasetError
from ddmlp.ray_backend import driver
from ddmlp.ray_backend.driver import Message
from ddmlp.training.job import Job
from tests.support.runs import CONFIG


@dataclass
class FakeCluster:
    """Takes the place of a Ray: records what is done with it."""

    cpus: float = 4.0
    own: bool = True
    dashboard: str | None = None
    left: bool = False
    address: str = "there:6379"
    raylet: str = "/raylet"
    why: str = "some reason"

    def room(self) -> str:
        return "some room"

    def share(self, workers: int) -> float:
        return min(1.0, self.cpus / workers)

    def leave(self) -> None:
        self.left = True


class FakeTrainer:
    closed = False
    step = 7

    def __init__(self, *_: object) -> None:
        pass

    def advance(self, seconds: float) -> float:
        return 2 * seconds

    def checkpoint(self) -> None:
        raise DatasetError("a shard is damaged")

    def end(self) -> None:
        raise ValueError("a defect")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(CONFIG, tmp_path, tmp_path, workers=2, checkpoint_every=10)


@pytest.fixture
def opened(job: Job, monkeypatch: pytest.MonkeyPatch):
    """Opens a trainer on a fake Ray and closes it; returns the notes, and what was asked of `connect`."""

    def opened(cluster: FakeCluster, address: str | None = None, dashboard: bool = False) -> tuple[list[str], Any]:
        asked: list[Any] = []
        received: list[Message] = []
        monkeypatch.setattr(driver, "connect", lambda *of, **more: asked.append((*of, more)) or cluster)
        monkeypatch.setattr(driver, "RayTrainer", FakeTrainer)
        with driver.on_ray(job, address, dashboard, received.append) as trainer:
            assert not trainer.closed
            assert not cluster.left
        assert trainer.closed
        assert cluster.left == (not cluster.own), "a local Ray ends with its process"
        assert received[0] == Message("cluster", ("there:6379", "/raylet"))
        return [message.value for message in received[1:] if message.kind == "note"], asked[0]

    return opened


def test_notes_of_local_ray(opened):
    notes, asked = opened(FakeCluster())
    assert asked == (None, {"dashboard": False})
    assert len(notes) == 1
    assert notes[0].endswith("local Ray (some reason): some room")


def test_notes_of_named_ray(opened):
    notes, asked = opened(FakeCluster(own=False, dashboard="http://there"), address="there:6379", dashboard=True)
    assert asked == ("there:6379", {"dashboard": True})
    assert len(notes) == 1, "the dashboard of another Ray is not named"
    assert "there:6379 (some reason): some room" in notes[0]


def test_note_of_the_dashboard(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a secret")
    notes, _ = opened(FakeCluster(dashboard="http://here:8265"), dashboard=True)
    assert len(notes) == 2
    assert "http://here:8265" in notes[1]
    assert "a secret" in notes[1]


def test_note_of_shared_cpus(opened):
    notes, _ = opened(FakeCluster(cpus=1.5))
    assert notes[1:] == ["2 workers share 1.5 CPUs: 0.75 each"]


def test_too_many_workers(opened):
    notes, _ = opened(FakeCluster(cpus=0.4))
    assert notes[1] == "2 workers share 0.4 CPUs: 0.2 each"
    assert notes[2].startswith("warning: ")


def test_ray_left_on_error(job: Job, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise ClusterError("no place")

    cluster = FakeCluster(own=False)
    monkeypatch.setattr(driver, "connect", lambda *_, **__: cluster)
    monkeypatch.setattr(driver, "RayTrainer", refuse)
    with pytest.raises(ClusterError, match="no place"), driver.on_ray(job, None, False, lambda _: None):
        pass
    assert cluster.left


def test_answers(job: Job, monkeypatch: pytest.MonkeyPatch):
    """An error is an answer, too. It ends the driver only if it is no DdmlpError."""
    monkeypatch.setattr(driver, "connect", lambda *_, **__: FakeCluster())
    monkeypatch.setattr(driver, "RayTrainer", FakeTrainer)
    ours, theirs = Pipe()
    with ours, theirs:
        (serving := Thread(target=driver.serve, args=[theirs])).start()
        for message in ((job, None, False), ("advance", (3,)), ("checkpoint", ()), ("end", ())):
            ours.send(message)
        received = [ours.recv() for _ in range(6)]
        serving.join()
    assert [kind for kind, _ in received] == ["cluster", "note", "answer", "answer", "error", "error"]
    assert (received[2].value, received[3].value) == (7, 6)
    assert isinstance(received[4].value, DatasetError)
    assert isinstance(received[5].value, ClusterError)
    assert "a defect" in str(received[5].value)
