"""The processes of a run, as the tests look at them."""

import time
from pathlib import Path

ACTORS = (b"ray::ServerActor", b"ray::WorkerActor")


def actors(*titles: bytes) -> list[int]:
    """The processes of our actors on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(titles or ACTORS):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def assert_no_actor_is_left() -> None:
    deadline = time.monotonic() + 20
    while actors() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert actors() == []


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
