"""Process groups of their own for the processes that Ray starts.

A signal to the group of this process, as Ctrl-C and `timeout` send it, is to end the run, and not the Ray under it:
without Ray a checkpoint could not be written any more. Ray 2.60 forks its processes from this one and has no option for
their group, so a hook of the interpreter sets it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

_active = Event()


@contextmanager
def own_process_groups() -> Iterator[None]:
    """Give each process that is forked in the block a process group of its own."""
    _active.set()
    try:
        yield
    finally:
        _active.clear()


def _after_fork() -> None:
    if _active.is_set():
        os.setpgrp()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
