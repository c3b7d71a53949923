"""Leaks of a test: file descriptors, threads, processes, and files in shared memory."""

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
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")  # of the main thread, which adopts those of ended threads
SHARED = Path("/dev/shm")
KEPT = "/matplotlib/mpl-data/fonts/"  # matplotlib keeps fonts open


@contextmanager
def no_leaks(seconds: float = 5.0) -> Iterator[None]:
    """Assert that the block leaves nothing behind; resources have `seconds` to be released."""
    before = held()
    yield
    deadline = time.monotonic() + seconds
    while left := held() - before:
        gc.collect()
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind: {', '.join(sorted(map(_words, left)))}")
        time.sleep(0.01)


def held() -> set[tuple[str, object]]:
    """Return the resources of this process, by kind. It must be fast, because it runs before and after each test."""
    # Ray Data leaves a thread of this name when an iteration ends early.
    found: set[tuple[str, object]] = {("thread", each) for each in threading.enumerate() if each.name != "Prefetcher"}
    kept, open_for_them = _kept()
    found |= {("process", number) for number in CHILDREN.read_text().split() if int(number) not in kept}
    # Only files made by tempfile are counted; folders and semaphores may belong to programs that run at the same time.
    with os.scandir(SHARED) as entries:
        found |= {("file", each.name) for each in entries if each.name.startswith("tmp") and each.is_file()}
    # Ray opens and closes sockets at any time while this process is connected to it.
    ignored = "socket:" if "ray" in sys.modules and sys.modules["ray"].is_initialized() else KEPT
    for number in set(os.listdir(DESCRIPTORS)) - open_for_them:  # noqa: PTH208
        with suppress(OSError):  # the descriptor of the listing itself is closed by now
            target = os.readlink(f"{DESCRIPTORS}/{number}")  # noqa: PTH115
            if KEPT not in target and ignored not in target:
                found.add(("descriptor", f"{number} of {target}"))
    return found


def _kept() -> tuple[set[int | None], set[str]]:
    """Return the two processes that multiprocessing starts on demand and keeps, and their file descriptors."""
    tracker, server = resource_tracker._resource_tracker, forkserver._forkserver
    return {tracker._pid, server._forkserver_pid}, {str(tracker._fd), str(server._forkserver_alive_fd)}


def _words(each: tuple[str, object]) -> str:
    kind, what = each
    if isinstance(what, threading.Thread):
        return f"{kind} {what.name}"
    if kind == "process":
        with suppress(OSError):
            command = Path(f"/proc/{what}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            return f"{kind} {what} {command or '(a zombie: its exit status was not read)'}"
    return f"{kind} {SHARED / str(what) if kind == 'file' else what}"
