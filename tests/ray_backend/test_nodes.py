"""Losing a node, and getting another one: real `ray start` processes, killed by real signals."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from tests.project.test_cluster import free_port, local, sessions

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="local.sh is for Linux"),
]


@pytest.fixture
def state(request: pytest.FixtureRequest, short: Path) -> Iterator[Path]:
    """A cluster of a head and further nodes, of one CPU each."""
    state = short / "s"
    started = local("start", "--workers", str(request.param), "--cpus", "1", "--port", free_port(), state=state)
    assert started.returncode == 0, started.stderr
    yield state
    assert local("stop", state=state).returncode == 0


def kill_node(state: Path, number: int) -> int:
    """SIGKILL every process of a node; returns their number."""
    session = (state / "sessions").read_text().split()[number]
    killed = 0
    while rows := sessions([session]):
        listing = subprocess.run(["ps", "-o", "pid=", "-s", session], capture_output=True, text=True).stdout
        for process in listing.split():
            try:
                os.kill(int(process), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue
        assert rows
    return killed


def kill_raylet(state: Path, number: int) -> None:
    """SIGKILL the raylet of a node, and wait until the other processes, except for its log monitor, have ended."""
    session = (state / "sessions").read_text().split()[number]
    listing = subprocess.run(["ps", "-o", "pid=,comm=", "-s", session], capture_output=True, text=True).stdout
    (raylet,) = (int(line.split()[0]) for line in listing.splitlines() if line.split()[1] == "raylet")
    os.kill(raylet, signal.SIGKILL)
    while len(sessions([session])) > 1:
        time.sleep(0.05)


def wait_for(pattern: str, lines: Iterator[str], seen: list[str]) -> str:
    for line in lines:
        seen.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"{pattern!r} was not printed: {''.join(seen)}")


@contextmanager
def training(command: list[str], state: Path, data: Path, run: Path) -> Iterator[tuple[Iterator[str], list[str]]]:
    """A run on the cluster, its lines, and those seen so far; ended by Ctrl-C, and computed again in one process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    exported = dict(re.findall(r"^export (\w+)=(.*)$", local("env", state=state).stdout, re.MULTILINE))
    settings = ["--hidden", "20", "--batch", "150", "--epochs", "5000", "--checkpoint-every", "500"]
    command = [sys.executable, *command, "--data", str(data), *settings, "--run", str(run)]
    seen: list[str] = []
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, env=clean | exported, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            lines = iter(process.stdout or ())
            yield lines, seen
            process.send_signal(signal.SIGINT)
            seen += lines
            assert process.wait(60) == 130, "".join(seen)
        finally:
            process.kill()
        errors.seek(0)
        assert errors.read() == "", "Ray has printed something"
    verified = subprocess.run(
        [sys.executable, "-m", "ddmlp.verify", str(run)], capture_output=True, text=True, timeout=100
    )
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith("verified")


def workers_of(run: Path) -> list[int]:
    """The numbers of workers that the run had, in order."""
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    workers = [event["workers"] for event in events if event["event"] == "progress"]
    return [count for count, _ in groupby(workers)]


@pytest.mark.chaos
@pytest.mark.parametrize("state", [1], indirect=True)
def test_node_lost(state: Path, data: Path, tmp_path: Path):
    run = tmp_path / "run"
    with training(["-m", "ddmlp.train", "--no-report", "--workers", "2"], state, data, run) as (lines, seen):
        wait_for("^epoch 3/", lines, seen)
        assert kill_node(state, 1) > 3
        assert "1 running" in wait_for("^worker .* died", lines, seen)
        wait_for("^epoch ", lines, seen)  # the remaining worker continues
        assert local("join", "--cpus", "1", state=state).returncode == 0
        assert "2 running" in wait_for("a worker has joined", lines, seen)
        wait_for("^epoch ", lines, seen)
    assert workers_of(run) == [2, 1, 2]


@pytest.mark.chaos
@pytest.mark.parametrize("state", [0], indirect=True)
def test_node_joins_and_leaves(state: Path, data: Path, tmp_path: Path):
    run = tmp_path / "run"
    with training(["-m", "ddmlp.train", "--no-report", "--workers", "1:4"], state, data, run) as (lines, seen):
        wait_for("^epoch 3/", lines, seen)
        assert local("join", "--cpus", "1", state=state).returncode == 0
        assert "2 running" in wait_for("a worker has joined", lines, seen)
        wait_for("^epoch ", lines, seen)
        kill_raylet(state, 1)
        assert "1 running" in wait_for("^worker .* died", lines, seen)
        wait_for("^epoch ", lines, seen)
    assert workers_of(run) == [1, 2, 1]
    notes = [line for line in seen if not line.startswith(("epoch ", "a worker has ", "worker "))]
    assert [line.partition(" ")[0] for line in notes] == ["using", "interrupted"], f"Ray has printed something: {seen}"
