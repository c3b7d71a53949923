"""A private folder for the server's sockets. If its owner is killed, the next start removes it.

The owner holds a lock (`flock`) on the folder itself, which ends with the process. A process removes a folder only
while it holds the lock, and one that has made a folder checks, once it has the lock, that the folder still exists. So
concurrent starts never remove a folder in use. Only sockets are removed, and then the folder if it is empty: no file
is lost.
"""

import fcntl
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from ddmlp.errors import ClusterError
from ddmlp.ray_backend.temporary import temporary_folder

PREFIX = "ddmlp-sockets-"
TRIES = 100  # to make a folder that no other start removes at once


class SocketFolder:
    """A new folder. Making it removes the folders that dead processes of this user have left."""

    path: Path

    def __init__(self) -> None:
        """Raises OSError if no folder can be made, and ClusterError if the temporary folder cannot be used."""
        self._lock: int | None = None
        beside = temporary_folder()
        for left in beside.glob(f"{PREFIX}*"):
            _remove(left)
        for _ in range(TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=beside))
            self._lock = _locked(self.path)
            if self._lock is not None:
                return
        raise ClusterError(f"no folder can be locked in {beside}; set TMPDIR to a folder on a local disk")

    def remove(self) -> None:
        """Remove the folder and its sockets; a second call has no effect."""
        if self._lock is not None:
            _empty(self.path, self._lock)
            os.close(self._lock)
            self._lock = None


def wait_for_owner(folder: Path) -> None:
    """Wait until the owner of a folder has ended or has removed it."""
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a folder of sockets that no process holds, if it has nothing else."""
    if (lock := _locked(path)) is not None:
        _empty(path, lock)
        os.close(lock)


def _locked(path: Path) -> int | None:
    """A descriptor of a private folder of this user, with its lock; None if another process has the lock, or the path
    is no such folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found, there = os.fstat(descriptor), path.lstat()
        private = found.st_uid == os.getuid() and not found.st_mode & 0o077
        if private and os.path.samestat(found, there):  # not removed between open and flock
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _empty(path: Path, descriptor: int) -> None:
    """Remove the sockets in a folder, and the folder if it has nothing else."""
    with suppress(OSError):
        for name in os.listdir(descriptor):
            if stat.S_ISSOCK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=descriptor)
        path.rmdir()
