"""What a test may leave behind in this process: file descriptors, threads, processes, and files in shared memory."""

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")  # the main thread's; it inherits those of the others
SHARED = Path("/dev/shm")
KEPT = "/matplotlib/mpl-data/fonts/"  # matplotlib keeps the fonts open that it has used


@contextmanager
def no_leaks(seconds: float = 5.0) -> Iterator[None]:
    """Assert that what is done within leaves nothing behind; what is ending then has `seconds` to end."""
    before = held()
    yield
    deadline = time.monotonic() + seconds
    while left := held() - before:
        gc.collect()
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind: {', '.join(sorted(map(_words, left)))}")
        time.sleep(0.01)


def held() -> set[tuple[str, object]]:
    """What this process holds now, by kind. Called before and after each test, so it must be quick."""
    found: set[tuple[str, object]] = {("thread", thread) for thread in threading.enumerate()}
    kept, open_for_them = _kept()
    found |= {("process", number) for number in CHILDREN.read_text().split() if int(number) not in kept}
    # Ours are files made by tempfile. Folders are of a fuzzer, and semaphores of other programs, which run beside.
    with os.scandir(SHARED) as entries:
        found |= {("file", each.name) for each in entries if each.name.startswith("tmp") and each.is_file()}
    # Ray opens and closes sockets as it likes, as long as this process is connected to one.
    ignored = "socket:" if "ray" in sys.modules and sys.modules["ray"].is_initialized() else KEPT
    for number in set(os.listdir(DESCRIPTORS)) - open_for_them:  # noqa: PTH208
        with suppress(OSError):  # the one of the folder itself is closed again
            target = os.readlink(f"{DESCRIPTORS}/{number}")  # noqa: PTH115
            if KEPT not in target and ignored not in target:
                found.add(("descriptor", f"{number} of {target}"))
    return found


def _kept() -> tuple[set[int | None], set[str]]:
    """The two processes that multiprocessing starts when it needs them, and keeps; and the descriptors for them."""
    tracker, server = resource_tracker._resource_tracker, forkserver._forkserver
    return {tracker._pid, server._forkserver_pid}, {str(tracker._fd), str(server._forkserver_alive_fd)}


def _words(each: tuple[str, object]) -> str:
    kind, what = each
    if isinstance(what, threading.Thread):
        return f"{kind} {what.name}"
    if kind == "process":
        with suppress(OSError):
            command = Path(f"/proc/{what}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            return f"{kind} {what} {command or '(a zombie: nobody has waited for it)'}"
    return f"{kind} {SHARED / str(what) if kind == 'file' else what}"
