"""cluster/ssh.sh and slurm.sh, with an ssh and an srun that run their commands on this machine."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import ddmlp
from tests.support.processes import alive, descendants
from tests.support.runs import verified

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the scripts are for Linux"),
]
CLUSTER = Path(__file__).parents[2] / "cluster"
SETTINGS = ("--hidden", "8", "--batch", "150", "--microbatch", "32", "--no-report")
ENDLESS = ("--epochs", "100000")
SECONDS = 100
SSH = """
[[ $* != *SSH_CONNECTION* ]] || { echo ADDRESS 22 ADDRESS 22; exit; }
[[ $* == *BatchMode=yes* ]] || exit 1
exec bash -c "${!#}"
"""
SRUN = """
[[ "$*" == *"--relative=1 --nodes=1 --ntasks=1 --cpus-per-task=1"* ]] || exit 1
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """
[[ $1 == show ]] && echo "NodeName=n1 NodeAddr=ADDRESS NodeHostName=n1" || echo "$*" >>"$0.log"
"""


def address() -> str:
    """The address of this machine that other machines use; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.200", 9))
        except OSError:
            pytest.skip("this machine has no address but that of loopback")
        return str(probe.getsockname()[0])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With the commands of the cluster, and ports that are free."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"ssh": SSH, "srun": SRUN, "scontrol": SCONTROL}.items():
        (commands / name).write_text(f"#!/bin/bash\n{text.replace('ADDRESS', address())}")
        (commands / name).chmod(0o755)
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))}
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), clean["PATH"]])
    clean |= {"PATH": path, "DDMLP_PORT": str(port), "PYTHONPATH": str(CLUSTER.parent)}
    slurm = {"SUBMIT_DIR": str(CLUSTER.parent), "JOB_NUM_NODES": "2", "CPUS_PER_TASK": "1", "JOB_ID": "7"}
    clean["SLURMD_NODENAME"] = "n1"
    return clean | {f"SLURM_{name}": value for name, value in (slurm).items()}


@contextmanager
def running(
    words: Sequence[object], environment: dict[str, str], log: Path
) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[str], None]]]:
    """A command, and a function that waits until its output has a text. No process of it may be left."""
    with log.open("w") as out:
        process = subprocess.Popen(list(map(str, words)), env=environment, stdout=out, stderr=out)
    family: set[int] = set()

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            ended = process.poll() is not None or time.monotonic() > deadline
            if text in log.read_text():
                return
            assert not ended, log.read_text()
            family.update(descendants(process.pid))
            time.sleep(0.05)

    try:
        yield process, wait_for
    finally:
        process.kill()
        process.wait()
        deadline = time.monotonic() + SECONDS
        while alive(family) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert len(family) > 10, "Ray has run"
    assert alive(family) == []


def test_simple(environment: dict[str, str], data: Path, tmp_path: Path):
    """Two nodes, with a worker on each, give the weights of one process."""
    alone = ddmlp.fit(data, run=tmp_path / "alone", hidden=8, batch=150, microbatch=32, epochs=1)
    words = [CLUSTER / "ssh.sh", "one", "--data", data, "--run", tmp_path / "run", *SETTINGS, "--epochs", 1]
    environment["SLURM_CPUS_PER_TASK"] = "1"
    with running([*words, "--workers", 2], environment, tmp_path / "log") as (process, wait_for):
        wait_for("2 nodes with 2 CPUs")
        wait_for("weights sha256")
        assert process.wait(SECONDS) == 0
    assert alone.weights_sha256[:16] in (tmp_path / "log").read_text()


@pytest.mark.chaos
def test_killed(environment: dict[str, str], data: Path, tmp_path: Path):
    """Nothing can be asked of a script that is killed; still, its Ray ends."""
    words = [CLUSTER / "ssh.sh", "one", "--data", data, "--run", tmp_path / "run", *SETTINGS, *ENDLESS]
    with running([*words, "--workers", 2], environment, tmp_path / "log") as (process, wait_for):
        wait_for("epoch 2/")
        process.kill()


@pytest.mark.chaos
def test_slurm(environment: dict[str, str], data: Path, tmp_path: Path):
    """Before the time limit, Slurm sends TERM: the job leaves a checkpoint, is queued again, and resumes."""
    run = tmp_path / "run"
    words = ["bash", CLUSTER / "slurm.sh", run, "--data", data, *SETTINGS, *ENDLESS]
    steps = []
    for number in range(2):
        log = tmp_path / f"log{number}"
        with running(words, environment, log) as (process, wait_for):
            wait_for("epoch 2/" if not number else "epoch ")
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 130, log.read_text()
        steps += map(int, re.findall(r"interrupted after step (\d+)", log.read_text()))
    assert 0 < steps[0] < steps[1]
    assert (tmp_path / "bin" / "scontrol.log").read_text() == "requeue 7\n" * 2
    assert verified(run)
