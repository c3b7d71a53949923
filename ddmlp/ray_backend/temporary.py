"""The folder for temporary files, whose path must leave room for the names of sockets."""

import os
import sys
from pathlib import Path

from ddmlp.errors import ClusterError

# The longest: /ray-1234567890/session_2026-11-28_10-19-43_123456_1234567/sockets/plasma_store has 79 bytes.
LONGEST = (107 if sys.platform == "linux" else 103) - 79
LEAST_FREE = 16 << 20  # bytes; a Ray writes about 1 MB of logs and records
SYSTEM = Path("/tmp")


def temporary_folder(variable: str = "TMPDIR") -> Path:
    """The folder that an environment variable names, or TMPDIR, or /tmp; /tmp also if the path is too long.

    Raises ClusterError if it is missing, full, or not writable.
    """
    variable = variable if os.environ.get(variable) else "TMPDIR"
    folder = Path(os.environ.get(variable) or SYSTEM).absolute()
    hint = f"or set {variable} to another folder"
    if not folder.is_dir():
        raise ClusterError(f"the temporary folder {folder} is missing; make it, {hint}")
    if len(os.fsencode(folder)) > LONGEST:
        folder = SYSTEM
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ClusterError(f"the temporary folder {folder} is not writable; make it so, {hint}")
    if not has_room(folder, LEAST_FREE):
        raise ClusterError(f"the temporary folder {folder} is full; free {LEAST_FREE >> 20} MiB or more there, {hint}")
    return folder


def ray_folder() -> Path:
    """The folder for the sessions of a local Ray: Ray's usual one, or one of this user, if a Ray of another user has
    made the usual one and it is not writable."""
    usual = temporary_folder("RAY_TMPDIR") / "ray"
    return usual if not usual.exists() or os.access(usual, os.W_OK | os.X_OK) else Path(f"{usual}-{os.getuid()}")


def has_room(folder: Path, size: int) -> bool:
    """Whether `size` bytes can be written to a folder."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= size
