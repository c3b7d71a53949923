"""A node with two workers, whose relay is killed, is left by its server, and hangs."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.test_cluster import free_port, local
from tests.ray_backend.test_nodes import training, wait_for

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="local.sh is for Linux"),
]


def processes(log: Path) -> list[int]:
    """The processes that have written a log, in order."""
    return [int(number) for number in re.findall(r"process (\d+)", log.read_text())]


def train_until(fact: str, log: Path, lines: Iterator[str], seen: list[str]) -> None:
    """Let the run train until its log has this."""
    while fact not in log.read_text():
        wait_for("^epoch ", lines, seen)


def test_simple(short: Path, data: Path, tmp_path: Path):
    """Its workers follow to the next relay; they are replaced only if it does not answer, with their node perhaps."""
    state, run = short / "s", tmp_path / "run"
    assert local("start", "--workers", "1", "--cpus", "2", "--port", free_port(), state=state).returncode == 0
    words = ["-m", "ddmlp.train", "--no-report", "--workers", "4", "--log-level", "info", "--microbatch", "32"]
    server, relay = run / "logs" / "server.log", run / "logs" / "relay-0.log"
    try:
        with training(words, state, data, run) as (lines, seen):
            wait_for("^epoch 2/", lines, seen)
            train_until("relay 0 on ", server, lines, seen)
            os.kill(processes(relay)[-1], signal.SIGKILL)
            train_until("relay 1 on ", server, lines, seen)
            os.kill(processes(server)[-1], signal.SIGKILL)
            train_until("relay 2 on ", server, lines, seen)
            os.kill(processes(relay)[-1], signal.SIGSTOP)
            assert "not answer" in wait_for("^worker ", lines, seen)
            train_until("relay 3 on ", server, lines, seen)
            wait_for("^epoch ", lines, seen)
    finally:
        assert local("stop", state=state).returncode == 0
    log = server.read_text()
    assert [log.count(f"relay {number} on ") > 0 for number in range(5)] == [True] * 4 + [False]
    assert len(processes(server)) == 2
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines() if '"lost"' in line]
    assert [loss["cause"] for loss in losses] == ["unresponsive"] * 2
