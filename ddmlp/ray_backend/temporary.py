"""The folder for temporary files, if its path leaves room for those of sockets: they have 103 bytes at most."""

import os
from pathlib import Path

from ddmlp.errors import ClusterError

# Ray's are the longest: /ray/session_2026-11-28_10-19-43_123456_1234567/sockets/plasma_store has 68.
LONGEST = 103 - 68
LEAST_FREE = 16 << 20  # bytes; a Ray writes about 1 MB of logs and records


def temporary_folder(asked: str | None = None) -> Path:
    """The folder that was `asked` for, or TMPDIR, or /tmp; a shorter one of the system instead of one that is too long.

    Raises ClusterError if it is missing, full, or not writable.
    """
    named = asked or os.environ.get("TMPDIR") or "/tmp"
    folder = Path(named).absolute()
    if len(os.fsencode(folder)) > LONGEST:
        folder = Path("/tmp")
    hint = "set TMPDIR to another folder"
    if not folder.is_dir():
        raise ClusterError(f"the temporary folder {folder} is missing; make it, or {hint}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ClusterError(f"the temporary folder {folder} is not writable; {hint}")
    found = os.statvfs(folder)
    if (free := found.f_bavail * found.f_frsize) < LEAST_FREE:
        raise ClusterError(
            f"the temporary folder {folder} is full: {free >> 20} MiB are free, expected {LEAST_FREE >> 20} MiB or "
            f"more; free some, or {hint}"
        )
    return folder
