"""The cores of this machine, and which of them a worker computes on."""

import os
from collections.abc import Sequence
from contextlib import suppress

BINDS = hasattr(os, "sched_setaffinity")  # Linux
NUMBERS = sorted(os.sched_getaffinity(0)) if BINDS else list(range(os.cpu_count() or 1))  # that this process may use
CORES = len(NUMBERS)


def bind(seat: int, workers: int) -> None:
    """Keep this thread on its seat's part of the cores, where there is one for each of so many workers.

    A scheduler that is left alone now and then lets two workers wait for one core while another is idle: they wake at
    once, and the server that has woken them still sits on a core. The step then takes twice its time.
    """
    if BINDS and workers <= CORES:
        with suppress(OSError):  # where it is forbidden, it is only slower
            os.sched_setaffinity(0, part(NUMBERS, seat, workers))


def part(cores: Sequence[int], seat: int, workers: int) -> Sequence[int]:
    """The cores of a seat, 0 for the first of so many workers: like parts without overlap."""
    return cores[seat * len(cores) // workers : (seat + 1) * len(cores) // workers]
