"""The driver's own end: killed, or its terminal closed. No actor stays, and the run goes on where it was."""

import json
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddmlp.ray_backend.cluster import Cluster
from ddmlp.runs.checkpoint import Checkpoints
from tests.support.processes import actors, alive, assert_no_actor_is_left, descendants

COMMAND = [sys.executable, "-m", "ddmlp.train", "--no-report"]
SETTINGS = ["--hidden", "20", "--batch", "150", "--epochs", "40", "--checkpoint-every", "10"]


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of an undisturbed run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run([*COMMAND, "--data", data, *SETTINGS, "--run", run], check=True, capture_output=True, timeout=100)
    return weights_of(run)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, with a path that leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="ddt", dir="/tmp") as folder:
        yield Path(folder)


def weights_of(run: Path) -> str:
    found: str = json.loads((run / "result.json").read_bytes())["weights_sha256"]
    return found


def newest(run: Path) -> int:
    checkpoint, complaints = Checkpoints(run / "checkpoints").newest()
    assert checkpoint is not None
    assert complaints == []
    return checkpoint.step


def test_a_driver_killed_leaves_no_actor_and_the_run_goes_on_with_another_number_of_workers(
    cluster: Cluster, data: Path, expected: str, tmp_path: Path, temporary: Path
):
    run, environment = tmp_path / "run", os.environ | {"TMPDIR": str(temporary)}
    ray = ["--run", str(run), "--address", cluster.address]
    command = [*COMMAND, "--data", str(data), *SETTINGS, *ray, "--workers", "2"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any(line.startswith("epoch 3/40") for line in process.stdout)
        assert len(actors()) == 3
        process.kill()
    assert_no_actor_is_left()
    assert len(list(temporary.glob("ddmlp-*"))) == 1, "a killed driver cannot clean up"
    assert 3 * 27 <= newest(run) < 40 * 27
    command = [*COMMAND, "--resume", *ray, "--workers", "3"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert weights_of(run) == expected
    assert list(temporary.glob("ddmlp-*")) == [], "but the next one does"
    assert_no_actor_is_left()


def test_a_closed_terminal_leaves_a_checkpoint_and_no_actor(
    cluster: Cluster, data: Path, expected: str, tmp_path: Path
):
    run = tmp_path / "run"
    # No checkpoint but those at the end of an epoch: one elsewhere was written because the terminal was closed.
    settings = [*SETTINGS[:-1], "1000000", "--data", str(data), "--run", str(run), "--address", cluster.address]
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm", COLUMNS="120")
        os.execv(COMMAND[0], [*COMMAND, *settings, "--workers", "2"])
    shown = b""
    while b"epoch 3/40  test error" not in shown:
        shown += os.read(terminal, 65536)
    assert len(actors()) == 3
    os.close(terminal)
    os.waitpid(child, 0)
    assert_no_actor_is_left()
    assert newest(run) >= 3 * 27
    assert not (run / "result.json").exists()
    assert subprocess.run([*COMMAND, "--resume", "--run", run], capture_output=True, timeout=100).returncode == 0
    assert weights_of(run) == expected


def test_a_driver_killed_takes_the_actors_on_its_own_ray_with_it(data: Path, tmp_path: Path):
    """Two agents of Ray's stay for about a minute, and end by themselves."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [*COMMAND, "--data", str(data), *SETTINGS, "--run", str(tmp_path / "run"), "--workers", "1"]
    with subprocess.Popen(command, env=clean, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("started a local Ray")
        assert any(line.startswith("epoch 2/40") for line in process.stdout)
        its = set(actors()) & descendants(process.pid)
        assert len(alive(its)) == 2
        process.kill()
    assert_no_actor_is_left(lambda: alive(its))
