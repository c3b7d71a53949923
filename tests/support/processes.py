"""The processes of a run, and a terminal to run a command in."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SERVER, WORKER = b"ray::ServerActor", b"ray::WorkerActor"  # the titles of processes
ACTORS = (SERVER, b"ray::SliceActor", b"ray::RelayActor", WORKER)
HOLDERS = (b"ray::Holder",)  # actors that tests use to occupy CPUs


def actors(*titles: bytes) -> list[int]:
    """Return the processes of actors, by default all with ACTORS as titles, below this process."""
    found = []
    for process in sorted(descendants(os.getpid())):
        try:
            if Path(f"/proc/{process}/cmdline").read_bytes().startswith(titles or ACTORS):
                found.append(process)
        except OSError:
            continue
    return found


def assert_no_actor_is_left(among: Callable[[], list[int]] = actors) -> None:
    """Assert that the processes that `among` returns end soon."""
    deadline = time.monotonic() + 20
    while among() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert among() == []


def alive(processes: Iterable[int]) -> list[int]:
    """Return the processes that have not ended."""
    return [each for each in processes if Path(f"/proc/{each}/exe").exists()]


def descendants(process: int) -> set[int]:
    """Return the descendants of a process."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def own_bytes(process: int) -> int:
    """Return the private memory of a process in bytes, without mapped files; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def seconds_old(process: int) -> float:
    """Return the age of a process in seconds; 0 if it has ended."""
    try:
        started = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    return float(Path("/proc/uptime").read_text().split()[0]) - started / 100


class Terminal:
    """A terminal with a command in its own session, as in a window."""

    def __init__(self, screen: int, process: subprocess.Popen[bytes]) -> None:
        self.process, self.shown = process, b""
        self._screen: int | None = screen

    def press(self, key: bytes) -> None:
        assert self._screen is not None
        os.write(self._screen, key)

    def wait_for(self, text: str) -> None:
        """Wait until the command has printed `text`."""
        while text.encode() not in self.shown:
            assert self._more(), f"{text!r} was not shown: {self.shown!r}"

    def ended(self) -> int:
        """Wait until the command has ended; return its exit status."""
        while self._more():
            pass
        return self.process.wait(20)

    def close(self) -> None:
        """Close the terminal, like a window."""
        if self._screen is not None:
            os.close(self._screen)
            self._screen = None

    def _more(self) -> bool:
        assert self._screen is not None
        assert select.select([self._screen], [], [], 60)[0], f"no output for 60 s after {self.shown!r}"
        try:
            more = os.read(self._screen, 65536)
        except OSError:  # the other end is closed: the command has ended
            return False
        self.shown += more
        return bool(more)


@contextmanager
def in_terminal(command: Sequence[object]) -> Iterator[Terminal]:
    """Run a command in a terminal; it is killed after the block if it has not ended."""
    screen, end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    # setsid makes the terminal the command's; Python code in a fork of this process, which may have threads, is unsafe.
    words = ["setsid", "--ctty", *map(str, command)]
    with subprocess.Popen(words, stdin=end, stdout=end, stderr=end, env=environment) as process:
        os.close(end)
        terminal = Terminal(screen, process)
        try:
            yield terminal
        finally:
            terminal.close()
            process.kill()
