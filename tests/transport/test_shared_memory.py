"""Memory that processes share: what another process reads, and that nothing is left."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ddmlp.errors import ClusterError
from ddmlp.nn.weights import CACHE_LINE
from ddmlp.transport.shared_memory import Region


def place_of(region):
    return str(Path(f"/proc/self/fd/{region.descriptor}").readlink())


def test_simple():
    region = Region.create(count=3, size=17)
    code = """if True:
        import sys
        from ddmlp.transport.shared_memory import Region
        region = Region(int(sys.argv[1]), 3, 17)
        assert region.buffers[0].tolist() == [7.0] * 17
        region.buffers[2][:] = range(17)
    """
    region.buffers[0][:] = 7
    subprocess.run([sys.executable, "-c", code, str(region.descriptor)], pass_fds=[region.descriptor], check=True)
    assert [buffer.tolist() for buffer in region.buffers] == [[7.0] * 17, [0.0] * 17, list(range(17))]
    assert all(buffer.ctypes.data % CACHE_LINE == 0 for buffer in region.buffers)
    region.close()
    assert region.buffers[2][16] == 16, "the memory stays as long as an array uses it"


def test_empty_buffers():
    region = Region.create(count=2, size=0)
    assert [buffer.shape for buffer in region.buffers] == [(0,), (0,)]
    region.close()


def test_no_name():
    region = Region.create(count=1, size=4)
    place = place_of(region)
    region.close()
    assert place.endswith(" (deleted)")
    assert not Path(place.removesuffix(" (deleted)")).exists()


def test_full_memory(monkeypatch):
    """The region is on disk."""
    allocate, asked = os.posix_fallocate, []

    def full_at_first(descriptor, offset, length):
        asked.append(length)
        if len(asked) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(descriptor, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", full_at_first)
    region = Region.create(count=2, size=16)
    assert place_of(region).startswith(tempfile.gettempdir())
    assert asked == [2 * CACHE_LINE] * 2
    region.close()


def test_no_room(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ClusterError, match=r"no room for 4,096 bytes .* neither in /dev/shm nor in .* --shm-size"):
        Region.create(count=1, size=1024)


def test_read_only_memory(monkeypatch):
    """The region is on disk."""
    temporary_file = tempfile.TemporaryFile

    def read_only(dir):
        if str(dir) == "/dev/shm":
            raise OSError(errno.EROFS, "Read-only file system", f"{dir}/tmp")
        return temporary_file(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    region = Region.create(count=1, size=16)
    assert place_of(region).startswith(tempfile.gettempdir())
    region.close()
