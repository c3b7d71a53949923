"""Trainings as Ray jobs, as cluster/README.md submits them: each trains on the Ray that runs it, RAY_ADDRESS."""

import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import ddmlp
from tests.support.runs import verified

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs several Rays on one machine"),
]
RAY = Path(sys.executable).with_name("ray")
START_SECONDS, JOB_SECONDS = 90, 120
README = (Path(__file__).parents[2] / "cluster" / "README.md").read_text()
STOP = """{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}"""
SETTINGS = ("--hidden", "8", "--batch", "150", "--microbatch", "32", "--no-report")
PROGRAM = """
import os, sys, ddmlp
result = ddmlp.fit(sys.argv[1], run=sys.argv[2], hidden=8, epochs=1, workers=1, progress=True)
print("RAY_ADDRESS", os.environ["RAY_ADDRESS"], result.weights_sha256)
"""


def free_ports(count: int) -> list[str]:
    """Different ports at which nothing listens. Ray's agent ends if another Ray has its default port."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(server.getsockname()[1]) for server in servers]


@pytest.fixture(scope="module")
def head() -> Iterator[tuple[str, dict[str, str]]]:
    """The port of a head whose RAY_AUTH_MODE is not set, and the environment that submits jobs to it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    clean |= {"RAY_AUTH_TOKEN": secrets.token_hex(32), "PYTHONPATH": os.pathsep.join(sys.path)}
    port, dashboard, agent = free_ports(3)
    flags = f"--port {port} --dashboard-port {dashboard} --dashboard-agent-listen-port {agent} --min-worker-port 0"
    flags += " --max-worker-port 0 --num-cpus 2 --disable-usage-stats --block --temp-dir"
    with tempfile.TemporaryDirectory(prefix="dd", dir="/tmp") as folder, Path(folder, "log").open("w") as log:
        command = [RAY, "start", "--head", *flags.split(), f"{folder}/r"]
        process = subprocess.Popen(command, env=clean, stdout=log, stderr=log)
        try:
            yield port, {**clean, "RAY_AUTH_MODE": "token", "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def job(environment: dict[str, str], *words: object) -> "subprocess.CompletedProcess[str]":
    command = [RAY, "job", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=JOB_SECONDS)


def submit(environment: dict[str, str], *words: object) -> str:
    """Submit a job, once the head and its agent take one; returns the output."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        done = job(environment, "submit", *words)
        if done.returncode == 0:
            return done.stdout
        if "submitted successfully" in done.stdout or time.monotonic() > deadline:
            raise AssertionError(done.stdout + done.stderr)
        time.sleep(1)


def test_simple(head: tuple[str, dict[str, str]], data: Path, tmp_path: Path):
    port, environment = head
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    lines = submit(environment, "--", sys.executable, program, data, tmp_path / "job")
    (found,) = (line.split() for line in lines.splitlines() if line.startswith("RAY_ADDRESS"))
    address, weights = found[1:]
    assert address.endswith(f":{port}")
    assert f"using the Ray at {address} (RAY_ADDRESS)" in lines
    assert weights == ddmlp.fit(data, run=tmp_path / "alone", hidden=8, epochs=1).weights_sha256


@pytest.mark.chaos
def test_stop_and_resume(head: tuple[str, dict[str, str]], data: Path, tmp_path: Path):
    """`ray job stop` leaves a checkpoint, and another job resumes it, to the weights of one process."""
    _, environment = head
    run = tmp_path / "job"
    train = [sys.executable, "-m", "ddmlp.train"]
    flags = ["--data", data, "--run", run, "--workers", 1, "--epochs", 100_000, *SETTINGS]
    assert STOP in README, "this is what users are told"
    submit(environment, "--submission-id", "one", "--no-wait", "--runtime-env-json", STOP, "--", *train, *flags)
    deadline = time.monotonic() + JOB_SECONDS
    while "epoch 2/" not in (lines := job(environment, "logs", "one").stdout):
        assert time.monotonic() < deadline, lines
    assert job(environment, "stop", "one").returncode == 0
    assert "stopped" in job(environment, "status", "one").stdout
    (step,) = map(int, re.findall(r"interrupted after step (\d+)", job(environment, "logs", "one").stdout))
    more = ["--run", run, "--workers", 1, "--resume", "--stop-after", step + 20, "--no-report"]
    lines = submit(environment, "--submission-id", "two", "--", *train, *more)
    assert f"stopped after step {step + 20};" in lines
    assert verified(run)
