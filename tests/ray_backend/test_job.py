"""A program that trains as a Ray job: its driver gets RAY_ADDRESS, and trains on the Ray that runs the job."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import ddmlp

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs several Rays on one machine"),
]
RAY = Path(sys.executable).with_name("ray")
START_SECONDS, JOB_SECONDS = 60, 120
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


@pytest.fixture
def head(short: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The port of a head whose RAY_AUTH_MODE is not set, and the environment that submits jobs to it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    clean |= {"RAY_AUTH_TOKEN": secrets.token_hex(32), "PYTHONPATH": os.pathsep.join(sys.path)}
    port, dashboard, agent = free_ports(3)
    flags = f"--port {port} --dashboard-port {dashboard} --dashboard-agent-listen-port {agent} --min-worker-port 0"
    flags += f" --max-worker-port 0 --num-cpus 2 --disable-usage-stats --temp-dir {short}/r --block"
    with (short / "log").open("w") as log:
        process = subprocess.Popen([RAY, "start", "--head", *flags.split()], env=clean, stdout=log, stderr=log)
    try:
        yield port, {**clean, "RAY_AUTH_MODE": "token", "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def submit(environment: dict[str, str], *words: object) -> str:
    """Run a job, once the head and its agent take one; returns the output."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        command = [RAY, "job", "submit", "--", sys.executable, *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=JOB_SECONDS)
        if done.returncode == 0:
            return done.stdout
        if "submitted successfully" in done.stdout or time.monotonic() > deadline:
            raise AssertionError(done.stdout + done.stderr)
        time.sleep(1)


def test_simple(head: tuple[str, dict[str, str]], data: Path, tmp_path: Path):
    port, environment = head
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    lines = submit(environment, program, data, tmp_path / "job")
    (found,) = (line.split() for line in lines.splitlines() if line.startswith("RAY_ADDRESS"))
    address, weights = found[1:]
    assert address.endswith(f":{port}")
    assert f"using the Ray at {address} (RAY_ADDRESS)" in lines
    assert weights == ddmlp.fit(data, run=tmp_path / "alone", hidden=8, epochs=1).weights_sha256
