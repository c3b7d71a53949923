"""Several servers on several nodes: real `ray start` processes, killed by real signals."""

import re
import sys
from pathlib import Path

import pytest

from tests.ray_backend.test_nodes import kill_node, state, training, wait_for

__all__ = ["state"]

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="local.sh is for Linux"),
]


@pytest.mark.parametrize("state", [1], indirect=True)
def test_node_lost(state: Path, data: Path, tmp_path: Path):
    """The servers are on both nodes, unless Ray prefers one; when one node is lost, all are on the other."""
    run = tmp_path / "run"
    command = ["-m", "ddmlp.train", "--no-report", "--workers", "2", "--servers", "2", "--log-level", "info"]
    with training(command, state, data, run) as (lines, seen):
        wait_for("^epoch 3/", lines, seen)
        logs = [(run / "logs" / f"server-{number}.log").read_text() for number in (1, 2)]
        assert kill_node(state, 1)
        wait_for("server has died|^worker ", lines, seen)
        wait_for("^epoch ", lines, seen)
    places = [re.findall(r"listens at (.*)", log) for log in logs]
    assert ["/server-1-1" in place for (place,) in places] == [True, False]
    assert "('127.0.0.1', " in places[1][0]
