"""The driver as a child process: its answers and errors arrive, its end is an error, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError, DatasetError
from ddmlp.ray_backend import driver, driver_process
from ddmlp.ray_backend.driver import Message
from ddmlp.ray_backend.driver_process import DriverProcess
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


CHILD = """import os, signal, sys, time
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
connection.recv()
connection.send(("answer", 7))
"""


@pytest.fixture
def started(job: Job, monkeypatch: pytest.MonkeyPatch):
    """Starts a driver that begins at step 7, and then executes the code."""

    def started(code: str, stopping: list[int] | None = None, **timeouts: float) -> DriverProcess:
        monkeypatch.setattr(driver_process, "BOOT", CHILD + code)
        bounded, stopping = replace(job, timeouts=Timeouts(**timeouts)), [] if stopping is None else stopping
        return DriverProcess(bounded, address=None, dashboard=False, note=print, stopping=stopping)

    return started


STACK = "*** StackTrace ***\n" + "frame\n" * 1000 + "Extension modules: numpy\n"


@pytest.mark.parametrize("after", ["", STACK], ids=["", "frames"])
def test_dies(after: str, started: Callable[..., DriverProcess]):
    """As C++ ends it: the error has the last line that Ray has logged, whatever Python prints after it."""
    words = f"begin\n[2026-11-28 11:38:48,803 C 31 32] client.cc:204: the raylet\x1b is gone\n{after}".encode()
    trainer = started(f"os.write(2, {words}); os.abort()")
    assert trainer.step == 7
    with pytest.raises(ClusterError, match=r": client.cc:204: the raylet is gone$"):
        trainer.advance(0.1)
    trainer.close()
    with pytest.raises(ClusterError):
        trainer.checkpoint()


def test_killed(started: Callable[..., DriverProcess]):
    """The message names the cause, not its effects."""
    with pytest.raises(ClusterError, match="SIGKILL"):
        started("os.kill(os.getpid(), signal.SIGKILL)").advance(0.1)


def test_killed_on_macos(started: Callable[..., DriverProcess], monkeypatch: pytest.MonkeyPatch):
    """Before Python 3.13 it has no `waitid`, so the cause is not known."""
    monkeypatch.delattr(os, "waitid")
    with pytest.raises(ClusterError, match="driver of Ray has ended"):
        started("os.kill(os.getpid(), signal.SIGKILL)").advance(0.1)


def test_asked_to_stop(started: Callable[..., DriverProcess]):
    """The driver does not answer, and is killed."""
    trainer = started("time.sleep(600)", stopping := [], stop=0.01)
    stopping.append(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        trainer.advance(0.1)
    trainer.close()


def test_no_answer(started: Callable[..., DriverProcess]):
    trainer = started("time.sleep(600)", driver=0.01, close=0.01)
    with pytest.raises(ClusterError, match=r"0\.01 s"):
        trainer.checkpoint()
    trainer.close()


def test_blocked_signals(started: Callable[..., DriverProcess]):
    """The processes of the driver receive no signal that asks to stop, and end with it, in its group."""
    code = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    os.kill(child.pid, number)
connection.recv()
connection.send(("answer", (child.pid, child.poll(), os.getsid(0), os.getpid())))
time.sleep(600)"""
    trainer = started(code, close=0.01)
    child, status, session, process = trainer.end()
    assert status is None
    assert session == process != os.getsid(0)
    trainer.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    while Path(f"/proc/{child}/exe").exists():  # pytest's timeout is the bound
        pass


def test_ends_with_parent(short: Path):
    """The process that has started it is killed."""
    code = f"""import os, subprocess, sys, threading
if len(sys.argv) == 1:
    child = subprocess.Popen([sys.executable, {str(short / "code.py")!r}, str(os.getpid())], start_new_session=True)
    print(child.pid, flush=True)
    threading.Event().wait()
from ddmlp.ray_backend.driver import end_with
end_with(int(sys.argv[1]))"""
    (short / "code.py").write_text(code)
    with subprocess.Popen([sys.executable, short / "code.py"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}/exe").exists()
        parent.kill()
    while Path(f"/proc/{child}/exe").exists():
        pass
