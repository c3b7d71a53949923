"""The command on a Ray that is running: it shares its CPUs, and leaves no actor behind."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ddmlp.cli import train, verify
from ddmlp.ray_backend.cluster import Cluster
from tests.support.helpers import inside
from tests.support.processes import assert_no_actor_is_left

COMMAND = [sys.executable, "-m", "ddmlp.train", "--no-report"]


def alone(*arguments: object) -> None:
    """Run the command in this process, without Ray."""
    done = inside(train.main, "--no-report", *arguments)
    assert done.returncode == 0, done.stderr


def result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "result.json").read_bytes())
    return found


@pytest.mark.slow
def test_simple(cluster: Cluster, data: Path, tmp_path: Path):
    workers = int(cluster.cpus) + 2
    settings = ["--data", str(data), "--hidden", "20", "--batch", "150", "--microbatch", "32", "--epochs", "2"]
    more = ["--run", str(tmp_path / "run"), "--workers", str(workers), "--address", cluster.address]
    done = subprocess.run([*COMMAND, *settings, *more], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert f"using the Ray at {cluster.address}" in done.stdout
    assert f"{workers} workers share {cluster.cpus:g} CPUs" in done.stdout
    alone(*settings, "--run", tmp_path / "alone", "--workers", 0)
    found = result(tmp_path / "run")
    assert found["weights_sha256"] == result(tmp_path / "alone")["weights_sha256"]
    assert found["workers"] == workers
    checked = inside(verify.main, tmp_path / "run")
    assert checked.returncode == 0, checked.stderr
    assert re.search("^result +as recorded$", checked.stdout, re.MULTILINE)
    assert_no_actor_is_left()


@pytest.mark.slow
def test_ctrl_c(cluster: Cluster, data: Path, tmp_path: Path):
    """It leaves a checkpoint and no actor, and the run can be resumed without Ray."""
    settings, run = ["--data", str(data), "--hidden", "20", "--epochs", "60"], tmp_path / "run"
    more = ["--run", str(run), "--workers", "2", "--address", cluster.address]
    with subprocess.Popen([*COMMAND, *settings, *more], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch 2/60"):
                process.send_signal(signal.SIGINT)
                break
        printed = process.stdout.read()
    assert process.returncode == 130
    assert "--resume" in printed
    assert_no_actor_is_left()
    assert not (run / "result.json").exists()
    alone("--resume", "--run", run)
    alone(*settings, "--run", tmp_path / "alone", "--workers", 0)
    assert result(run)["weights_sha256"] == result(tmp_path / "alone")["weights_sha256"]
