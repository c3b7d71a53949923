"""The demonstration with real workers that are killed, and its end by Ctrl-C. Each starts a Ray of its own."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.processes import alive, assert_no_actor_is_left, descendants
from tests.support.traces import events

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


class Demo:
    """A demonstration, and what it has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.lines = process, list[str]()

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Wait until it prints a line that has this pattern."""
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern} was not printed: {''.join(self.lines)}")

    def end(self) -> int:
        """Press Ctrl-C; returns the exit status, once no process is left."""
        below = descendants(self.process.pid)
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(100)
        assert_no_actor_is_left(lambda: alive(below))
        return status


@pytest.fixture
def demo(data: Path, tmp_path: Path) -> Callable[..., Iterator[Demo]]:
    @contextmanager
    def open_(*flags: str) -> Iterator[Demo]:
        words = [sys.executable, "-m", "ddmlp", "demo", "--data", str(data), "--run", str(tmp_path / "run")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen([*words, "--port", "0", "--workers", "2", *flags], **pipes) as process:
            try:
                yield Demo(process)
            finally:
                process.kill()

    return open_


def test_simple(demo, tmp_path):
    with demo("--kill", "1", "--seconds", "5") as shown:
        url = shown.wait_for(r"^(http\S+)#picture")[1]
        struck = shown.wait_for(r"worker (\d+) \(process (\d+)\) is killed: SIGKILL")
        assert alive([int(struck[2])]) == []
        shown.wait_for(r"worker \d+ \(process \d+\) is stopped")
        shown.wait_for(r"continues: SIGCONT")
        hashes = [
            shown.wait_for(rf"^{name} +weights sha256 ([0-9a-f]{{64}})$")[1] for name in ("with workers", "one process")
        ]
        assert hashes[0] == hashes[1]
        shown.wait_for(r"^http")
        assert urlopen(url, timeout=60).status == 200
        assert shown.end() == 0
    deaths = [event["args"]["worker"] for event in events(tmp_path / "run") if event["name"] == "death"]
    assert int(struck[1]) in deaths


def test_interrupted(demo, tmp_path):
    """Ctrl-C while a worker is stopped."""
    with demo("--kill", "1", "--seconds", "600") as shown:
        shown.wait_for(r"worker \d+ \(process \d+\) is stopped")
        assert shown.end() == 130
    assert any((tmp_path / "run" / "checkpoints").iterdir())
