"""Losing a node, and getting another one: real `ray start` processes, killed by real signals."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.test_cluster import free_port, local, sessions

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="local.sh is for Linux")


@pytest.fixture
def state() -> Iterator[Path]:
    """A cluster of a head and one more node, of one CPU each. Its folder is not below tmp_path, for short paths."""
    with tempfile.TemporaryDirectory(prefix="ddn", dir="/tmp") as folder:
        state = Path(folder) / "s"
        started = local("start", "--workers", "1", "--cpus", "1", "--port", free_port(), state=state)
        assert started.returncode == 0, started.stderr
        yield state
        assert local("stop", state=state).returncode == 0


def kill_node(state: Path, number: int) -> int:
    """SIGKILL every process of a node; how many there were."""
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


def wait_for(pattern: str, lines: Iterator[str], seen: list[str]) -> str:
    for line in lines:
        seen.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"{pattern!r} never came: {''.join(seen)}")


def test_a_node_is_lost_and_another_joins_and_no_bit_changes(state: Path, data: Path, tmp_path: Path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    exported = dict(re.findall(r"^export (\w+)=(.*)$", local("env", state=state).stdout, re.MULTILINE))
    run = tmp_path / "run"
    settings = ["--hidden", "20", "--batch", "150", "--epochs", "5000", "--checkpoint-every", "500"]
    command = [sys.executable, "-m", "ddmlp.train", "--data", str(data), *settings, "--run", str(run), "--workers", "2"]
    seen: list[str] = []
    with subprocess.Popen(command, env=clean | exported, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stdout or ())
            wait_for("^epoch 3/", lines, seen)
            assert kill_node(state, 1) > 3
            assert "1 left" in wait_for("a worker has died", lines, seen)
            wait_for("^epoch ", lines, seen)  # the one that is left goes on
            assert local("join", "--cpus", "1", state=state).returncode == 0
            assert "2 now" in wait_for("a worker has joined", lines, seen)
            wait_for("^epoch ", lines, seen)
            process.send_signal(signal.SIGINT)
            seen += lines
            assert process.wait(60) == 130, "".join(seen)
        finally:
            process.kill()
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    workers = [event["workers"] for event in events if event["event"] == "progress"]
    assert [count for count, _ in groupby(workers)] == [2, 1, 2]
    verified = subprocess.run(
        [sys.executable, "-m", "ddmlp.verify", str(run)], capture_output=True, text=True, timeout=100
    )
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith("verified")
