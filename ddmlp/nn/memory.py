"""Memory for the arrays that a step passes over."""

import mmap
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

HUGE = 2 << 20  # bytes of a huge page, where other pages have 4 kB
MIN_BYTES = 1 << 18  # bytes; a smaller array would waste most of one


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any] | type = np.float32) -> NDArray[Any]:
    """An array of zeros, in huge pages where it is large and the system has them to give, so that the processor need
    not look up where each 4 kB of it lie (Linux, Documentation/admin-guide/mm/transhuge.rst). NumPy does so for 4 MB
    and more; the weights have 1 MB."""
    count, size = prod(shape), prod(shape) * np.dtype(dtype).itemsize
    if size < MIN_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(shape, dtype)
    # A huge page lies at a multiple of its size: one more makes room to begin there.
    mapped = mmap.mmap(-1, -(-size // HUGE) * HUGE + HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel that was built without them
        mapped.madvise(mmap.MADV_HUGEPAGE)
    begin = -np.frombuffer(mapped, np.uint8).ctypes.data % HUGE
    return np.frombuffer(mapped, dtype, count, begin).reshape(shape)
