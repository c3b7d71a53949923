"""Memory shared by processes of one machine, without a name that could leak."""

import mmap
import os
import tempfile
from pathlib import Path

import numpy as np

from ddmlp.errors import ClusterError
from ddmlp.nn.weights import CACHE_LINE, Floats


class Region:
    """A mapped file without a name: the system frees it when the last process that maps it ends.

    It holds `count` float32 buffers of `size` numbers each. Another process maps the region by its descriptor.
    """

    def __init__(self, descriptor: int, count: int, size: int) -> None:
        self.descriptor, self.count = descriptor, count
        stride = _stride(size)
        mapped = mmap.mmap(descriptor, count * stride)
        self.buffers: list[Floats] = [np.frombuffer(mapped, np.float32, size, index * stride) for index in range(count)]

    @classmethod
    def create(cls, count: int, size: int) -> "Region":
        """A new region of zeros, in memory if it has room, else on disk; raises ClusterError."""
        length = count * _stride(size)
        for folder in ("/dev/shm", tempfile.gettempdir()):
            if not Path(folder).is_dir():
                continue
            try:
                with tempfile.TemporaryFile(dir=folder) as file:
                    # Allocate now: a page that is missing later would kill the process that touches it.
                    _allocate(file.fileno(), length)
                    return cls(os.dup(file.fileno()), count, size)
            except OSError:  # full, or not writable
                continue
        raise ClusterError(
            f"no room for {length:,} bytes that the server and the workers share, neither in /dev/shm nor in "
            f"{tempfile.gettempdir()}; in a container, give it more by --shm-size"
        )

    def close(self) -> None:
        """Close the descriptor; the memory is freed with the last array that uses it."""
        os.close(self.descriptor)


def _allocate(descriptor: int, length: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, length)
    else:
        os.ftruncate(descriptor, length)


def _stride(size: int) -> int:
    """Bytes from one buffer to the next: whole cache lines, and one for an empty buffer."""
    return max(1, -(-size * 4 // CACHE_LINE)) * CACHE_LINE
