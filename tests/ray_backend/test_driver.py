"""The end of the driver: killed, or its terminal closed. No actor is left, and the run can be resumed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddmlp.cli.train import main
from ddmlp.config import TrainConfig
from ddmlp.ray_backend.cluster import Cluster
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.runs.checkpoint import Checkpoints
from tests.support.helpers import inside
from tests.support.processes import actors, alive, assert_no_actor_is_left, descendants, in_terminal
from tests.support.runs import job, train, weights_of

COMMAND = [sys.executable, "-m", "ddmlp.train", "--no-report"]
SETTINGS = ["--hidden", "20", "--batch", "150", "--epochs", "40", "--checkpoint-every", "10"]
CONFIG = TrainConfig(hidden=20, batch=150, epochs=40)


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of an undisturbed run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert inside(main, "--no-report", "--data", data, *SETTINGS, "--run", run).returncode == 0
    return weights_of(run)


def newest(run: Path) -> int:
    checkpoint, complaints = Checkpoints(run / "checkpoints").newest()
    assert checkpoint is not None
    assert complaints == []
    return checkpoint.step


@pytest.mark.slow
def test_killed(cluster: Cluster, data: Path, expected: str, tmp_path: Path, temporary: Path):
    """No actor is left, and the run can be resumed with another number of workers."""
    run = tmp_path / "run"
    command = [*COMMAND, "--data", str(data), *SETTINGS, "--run", str(run), "--address", cluster.address]
    with subprocess.Popen([*command, "--workers", "2"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any(line.startswith("epoch 3/40") for line in process.stdout)
        assert len(actors()) == 3
        process.kill()
    assert_no_actor_is_left()
    assert 3 * 27 <= newest(run) < 40 * 27
    found = train(RayTrainer(job(data, run, 3, CONFIG), cluster), run)
    assert found["weights_sha256"] == expected
    assert list(temporary.glob("ddmlp-*")) == [], "the next run removes the folder of a killed one"
    assert_no_actor_is_left()


@pytest.mark.slow
def test_terminal_closed(cluster: Cluster, data: Path, expected: str, tmp_path: Path):
    """A checkpoint is left, and no actor."""
    run = tmp_path / "run"
    # Otherwise checkpoints are written at the ends of epochs only, so another one is due to the closed terminal.
    settings = [*SETTINGS[:-1], "1000000", "--data", data, "--run", run, "--address", cluster.address]
    with in_terminal([*COMMAND, *settings, "--workers", "2"]) as terminal:
        terminal.wait_for("epoch 3/40  test error")
        assert len(actors()) == 3
        terminal.close()
        terminal.process.wait(60)
    assert_no_actor_is_left()
    assert newest(run) >= 3 * 27
    assert not (run / "result.json").exists()
    assert inside(main, "--no-report", "--run", run, "--resume").returncode == 0
    assert weights_of(run) == expected


@pytest.mark.cluster
def test_killed_with_local_ray(data: Path, tmp_path: Path):
    """No process of its Ray is left."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [*COMMAND, "--data", str(data), *SETTINGS, "--run", str(tmp_path / "run"), "--workers", "1"]
    with subprocess.Popen(command, env=clean, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("started a local Ray")
        assert any(line.startswith("epoch 2/40") for line in process.stdout)
        its = descendants(process.pid)
        assert len(set(actors()) & its) == 2
        process.kill()
    assert_no_actor_is_left(lambda: alive(its))
