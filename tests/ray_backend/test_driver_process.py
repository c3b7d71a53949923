"""The driver as a child process: its answers and errors arrive, its end is an error, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import ClusterError
from ddmlp.ray_backend import driver_process
from ddmlp.ray_backend.driver_process import DriverProcess
from ddmlp.training.job import Job
from tests.support.runs import CONFIG


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(CONFIG, tmp_path, tmp_path, workers=2, checkpoint_every=10)


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
    """Ray's C++ aborts the process. The error has the line that Ray has logged, whatever Python prints after it."""
    words = f"begin\n[2026-11-28 11:38:48,803 C 31 32] client.cc:204: the raylet\x1b is gone\n{after}".encode()
    trainer = started(f"os.write(2, {words}); os.abort()")
    assert trainer.step == 7
    with pytest.raises(ClusterError, match=r": client.cc:204: the raylet is gone$"):
        trainer.advance(0.1)
    trainer.close()
    with pytest.raises(ClusterError):
        trainer.checkpoint()


@pytest.mark.parametrize("known", [True, False])
def test_killed(known: bool, started: Callable[..., DriverProcess], monkeypatch: pytest.MonkeyPatch):
    """The message names the cause, if it is known: Python 3.12 has no `waitid` on macOS."""
    if not known:
        monkeypatch.delattr(os, "waitid")
    with pytest.raises(ClusterError, match="SIGKILL" if known else "driver of Ray has ended"):
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
    """The driver ends if the process that has started it is killed."""
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
