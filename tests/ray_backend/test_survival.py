"""The command, if its Ray dies or hangs, or if signals reach all processes. Ray and signals are real."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ddmlp.cli.train import main
from ddmlp.runs.checkpoint import Checkpoints
from tests.project.test_cluster import free_port, local
from tests.support.helpers import inside
from tests.support.processes import ACTORS, alive, assert_no_actor_is_left, descendants
from tests.support.runs import weights_of

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")]
chaos = pytest.mark.chaos  # make test-all runs one test of the death of Ray, and one of a signal to all processes

SETTINGS = ["--hidden", "20", "--batch", "150", "--epochs", "40", "--checkpoint-every", "10"]
ENDLESS = ["--hidden", "20", "--batch", "150", "--epochs", "5000", "--checkpoint-every", "100"]
OTHER_SIGNALS = [signal.SIGHUP, signal.SIGINT]
GCS, RAYLET, SERVER, AGENT = b"gcs_server", b"raylet", b"ray::ServerActor", b"ray::DashboardAgent"


class Running:
    """The command in a separate process, on a new local Ray."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.pid = process, process.pid
        self.printed: list[str] = []

    def wait_for(self, text: str) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.printed.append(line)
            if text in line:
                return
        raise AssertionError(
            f"{text!r} was not printed: {self.printed}, {self.process.stderr and self.process.stderr.read()}"
        )

    def below(self, *titles: bytes) -> list[int]:
        """The processes below it; if titles are given, those whose program or title begins with one of them."""
        found = []
        for each in sorted(descendants(self.pid)):
            try:
                program = Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0")[0].rpartition(b"/")[2]
            except OSError:
                continue
            if program.startswith(titles or b""):
                found.append(each)
        return found

    def end(self, seconds: float) -> tuple[int, str]:
        """The exit status and the output of the command, which must end in time."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, "".join(self.printed) + out + err


@contextmanager
def running(data: Path, run: Path, *settings: str, there: dict[str, str] | None = None) -> Iterator[Running]:
    """there: variables of the environment that name another Ray."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "ddmlp.train", "--no-report", "--data", str(data), "--run", str(run)]
    command += [*settings, "--workers", "2", *([] if there else ["--address", "local"])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=clean | (there or {}), text=True, **pipes) as process:
        found = Running(process)
        below: list[int] = []
        try:
            yield found
        finally:
            below = found.below()
            process.kill()
    deadline = time.monotonic() + 20
    while alive(below) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(below) == [], "a process of it is left"


@pytest.fixture(autouse=True)
def hangup() -> Iterator[None]:
    """The command does not ignore SIGHUP, even if these tests do, as under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def named(short: Path) -> Iterator[Path]:
    """A Ray that was started by `ray start`."""
    started = local("start", "--workers", "0", "--cpus", "2", "--port", free_port(), state=short / "s")
    assert started.returncode == 0, started.stderr
    yield short / "s"
    assert local("stop", state=short / "s").returncode == 0


def exported(state: Path) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(.*)$", local("env", state=state).stdout, re.MULTILINE))


def of_node(state: Path, title: bytes) -> list[int]:
    """The processes of the node with this title."""
    (session,) = (state / "sessions").read_text().split()
    listing = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "-s", session], capture_output=True, check=True).stdout
    rows = [line.split(maxsplit=1) for line in listing.splitlines()]
    return [int(number) for number, command in rows if command.split()[0].rpartition(b"/")[2].startswith(title)]


def assert_resumes(run: Path, data: Path, tmp_path: Path) -> None:
    """Assert that the run resumes from a checkpoint, and has the weights of an undisturbed run."""
    checkpoint, complaints = Checkpoints(run / "checkpoints").newest()
    assert checkpoint is not None
    assert complaints == []
    stop = ["--stop-after", str(checkpoint.step + 5)]
    resumed = inside(main, "--no-report", "--run", run, "--resume", *stop)
    assert resumed.returncode == 0, resumed.stderr
    alone = tmp_path / "alone"
    assert inside(main, "--no-report", "--data", data, *ENDLESS, "--run", alone, *stop).returncode == 0
    assert weights_of(run) == weights_of(alone)


def kill(processes: list[int], number: int) -> None:
    assert processes, "there is no process to kill"
    for each in processes:
        os.kill(each, number)


@pytest.mark.parametrize("title", [GCS, *(pytest.param(each, marks=chaos) for each in (RAYLET, AGENT))])
def test_ray_dies(title: bytes, data: Path, tmp_path: Path):
    run = tmp_path / "run"
    with running(data, run, *ENDLESS) as command:
        command.wait_for("epoch 8/")
        (victim,) = command.below(title)
        kill([victim], signal.SIGKILL)
        status, printed = command.end(30 if title == AGENT else 15)
    assert status == 1
    assert re.search(r"error: Ray's (GCS|raylet)", printed), printed
    assert "--resume" in printed
    assert_resumes(run, data, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, *(pytest.param(each, marks=chaos) for each in OTHER_SIGNALS)])
def test_signal_to_all(number: int, data: Path, tmp_path: Path):
    """As systemd, Slurm and a terminal send it."""
    run = tmp_path / "run"
    with running(data, run, *ENDLESS[:-1], "1000000") as command:
        command.wait_for("epoch 8/")
        kill([*command.below(), command.pid], number)
        status, printed = command.end(15)
    assert status == 130, printed
    assert "--resume" in printed
    stopped = int(re.findall(r"interrupted after step (\d+)", printed)[0])
    assert (run / "checkpoints" / f"step-{stopped:012d}.npz").exists()
    assert_resumes(run, data, tmp_path)


@chaos
@pytest.mark.parametrize("title", [GCS, RAYLET])
def test_named_ray_dies(title: bytes, named: Path, data: Path, tmp_path: Path):
    run = tmp_path / "run"
    with running(data, run, *ENDLESS, there=exported(named)) as command:
        command.wait_for("epoch 8/")
        (victim,) = of_node(named, title)
        kill([victim], signal.SIGKILL)
        status, printed = command.end(15)
    assert status == 1
    assert re.search(r"error: Ray's (GCS|raylet)", printed), printed
    assert "--resume" in printed
    assert_no_actor_is_left(lambda: of_node(named, SERVER))
    assert_resumes(run, data, tmp_path)


@chaos
def test_signal_on_a_named_ray(named: Path, data: Path, tmp_path: Path):
    """The Ray remains, but no actor."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        (there := tmp_path / str(number)).mkdir()
        with running(data, there / "run", *ENDLESS, there=exported(named)) as command:
            command.wait_for("epoch 8/")
            assert of_node(named, SERVER)
            kill([*command.below(), command.pid], number)
            status, printed = command.end(15)
        assert status == 130, printed
        assert "--resume" in printed
        assert of_node(named, RAYLET)
        assert_no_actor_is_left(lambda: [each for title in ACTORS for each in of_node(named, title)])
        assert_resumes(there / "run", data, there)


@chaos
@pytest.mark.parametrize("title", [None, GCS, RAYLET, SERVER])
def test_signal_while_it_starts(title: bytes | None, data: Path, tmp_path: Path):
    """title: of the newest process at that time; None: the command alone."""
    with running(data, tmp_path / "run", *ENDLESS) as command:
        while not command.below(*[title] if title else ()):
            time.sleep(0.02)
        kill([*command.below(), command.pid], signal.SIGTERM)
        status, printed = command.end(15)
    assert status == 130, printed
    assert not (tmp_path / "run" / "result.json").exists()


@chaos
def test_signal_at_the_end(data: Path, tmp_path: Path):
    """The result exists."""
    run = tmp_path / "run"
    with running(data, run, *SETTINGS) as command:
        command.wait_for("epoch 40/40")
        kill([*command.below(), command.pid], signal.SIGTERM)
        status, printed = command.end(15)
    assert (status, (run / "result.json").exists()) in ((0, True), (130, False)), printed


@chaos
def test_server_hangs(data: Path, tmp_path: Path):
    with running(data, tmp_path / "run", *ENDLESS) as command:
        command.wait_for("epoch 8/")
        (server,) = command.below(SERVER)
        start = time.monotonic()
        kill([server], signal.SIGSTOP)
        command.wait_for("the server has died")
        assert time.monotonic() - start < 40
        command.wait_for("epoch")
        command.process.send_signal(signal.SIGINT)
        status, printed = command.end(15)
    assert status == 130, printed
    assert_resumes(tmp_path / "run", data, tmp_path)


@chaos
def test_signal_while_ray_hangs(data: Path, tmp_path: Path):
    """All processes of Ray are stopped: no answer arrives, and no checkpoint can be written."""
    with running(data, tmp_path / "run", *ENDLESS) as command:
        command.wait_for("epoch 8/")
        below = command.below()
        kill(below, signal.SIGSTOP)
        command.process.send_signal(signal.SIGTERM)
        status, printed = command.end(15)
        if left := alive(below):
            kill(left, signal.SIGKILL)
    assert status == 130, printed
    assert "--resume" in printed
