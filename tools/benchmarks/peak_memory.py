"""The memory of a training command, of its server and of its workers: what is their own, as Linux counts it."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ACTORS = ("ray::ServerActor", "ray::WorkerActor")
LOOK_SECONDS = 0.1


class PeakMemory:
    """peak: the most bytes that a process, and the actors below it, had at a time while they were watched, without the
    files that they map (RssAnon in /proc/PID/status); 0 if there is no /proc."""

    peak = 0

    @contextmanager
    def of(self, process: int) -> Iterator[None]:
        """Watch a process while a block runs."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(process, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _watch(self, process: int, over: threading.Event) -> None:
        while not over.wait(LOOK_SECONDS):
            actors = [each for each in below(process) if _proc(each, "cmdline").startswith(ACTORS)]
            self.peak = max(self.peak, sum(map(own_bytes, [process, *actors])))


def own_bytes(process: int) -> int:
    """0 if it has ended."""
    found = re.search(r"^RssAnon:\s+(\d+) kB$", _proc(process, "status"), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def below(process: int) -> Iterator[int]:
    """The processes that were started by `process`, by those that it started, and so on."""
    for task in Path(f"/proc/{process}/task").glob("*"):
        for child in map(int, _proc(process, f"task/{task.name}/children").split()):
            yield child
            yield from below(child)


def _proc(process: int, name: str) -> str:
    """A file of /proc; empty if the process has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/{name}").read_text()
    return ""
