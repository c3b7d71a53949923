"""The memory of a training command, of its server and of its workers: what is their own, as Linux counts it."""

import subprocess
import threading
from pathlib import Path

ACTORS = ("ray::ServerActor", "ray::WorkerActor")
LOOK_SECONDS = 0.1


class Resident:
    """Watches a process, and the actors below it, while a block runs. peak: the most bytes that all of them had at a
    time, without the files that they map (RssAnon in /proc/PID/status); 0 where there is no /proc."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.peak = 0
        self._process = process.pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Resident":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            ours = [self._process, *(each for each in below(self._process) if is_actor(each))]
            self.peak = max(self.peak, sum(map(own_bytes, ours)))


def own_bytes(process: int) -> int:
    """0 where it is gone."""
    return 1024 * int(_status(process).get("RssAnon", "0 kB").split()[0])


def is_actor(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().startswith(ACTORS)
    except OSError:
        return False


def below(process: int) -> set[int]:
    """The processes that were started by `process`, by those that it started, and so on."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        if parent := _status(int(path.name)).get("PPid"):
            parents[int(path.name)] = int(parent)
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def _status(process: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
