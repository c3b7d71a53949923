"""The processes of a run, as the tests look at them."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ACTORS = (b"ray::ServerActor", b"ray::WorkerActor")


def actors(*titles: bytes) -> list[int]:
    """The processes of actors on a Ray that was started here, or below."""
    found = []
    for process in sorted(descendants(os.getpid())):
        try:
            if Path(f"/proc/{process}/cmdline").read_bytes().startswith(titles or ACTORS):
                found.append(process)
        except OSError:
            continue
    return found


def assert_no_actor_is_left(among: Callable[[], list[int]] = actors) -> None:
    """Assert that the actors, or those of them that `among` gives, end soon."""
    deadline = time.monotonic() + 20
    while among() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert among() == []


def alive(processes: Iterable[int]) -> list[int]:
    """Those of the processes that have not ended."""
    return [each for each in processes if Path(f"/proc/{each}/exe").exists()]


def descendants(process: int) -> set[int]:
    """The processes below `process`."""
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
    """The memory of a process that is its own: no files that it maps, nothing shared. 0 where it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def seconds_old(process: int) -> float:
    """How long ago a process was started; 0 where it is gone."""
    try:
        started = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    return float(Path("/proc/uptime").read_text().split()[0]) - started / 100
