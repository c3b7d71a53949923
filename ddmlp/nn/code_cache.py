"""The cache of compiled kernels: a private folder of the user, with one folder per state of the sources and processor.

Code from the cache is executed. So each file must have been written by a process of this user, be complete, and have
been compiled from the sources that run here. Each file begins with a SHA-256 of the rest.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from ddmlp.files import write_whole
from ddmlp.nn import BEGAN

KEEP = 8  # folders of code; the least recently used ones are removed
SEAL = hashlib.sha256().digest_size  # bytes


def path(sources: Path, name: str, *made_with: object) -> Path:
    """The path of the cache file `name`, for code compiled from all Python files in the folder `sources`.

    made_with: whatever else the code depends on, such as versions and the processor; it becomes part of the key.
    Raises OSError if no folder can serve as the cache, or if the sources have changed since they were imported.
    """
    key = repr((_digest(sources), made_with))
    return place() / hashlib.sha256(key.encode()).hexdigest() / name


def read(path: Path) -> bytes:
    """Return the code that `write` stored at `path`. Raises OSError if the file is missing or damaged."""
    data = path.read_bytes()
    seal, code = data[:SEAL], data[SEAL:]
    if seal != _seal(path, code):
        raise OSError(f"{path} is damaged")
    with suppress(OSError):
        os.utime(path.parent)  # mark it as recently used
    return code


def write(path: Path, code: bytes) -> None:
    """Store code for `read`, replacing whatever is at `path`. Raises OSError if that fails."""
    if not path.parent.is_dir():
        path.parent.unlink(missing_ok=True)
        path.parent.mkdir(0o700, exist_ok=True)
        _evict(path.parent.parent)
    if path.is_dir():
        shutil.rmtree(path)
    write_whole(path, _seal(path, code) + code)


def place() -> Path:
    """The folder of the cache, created if it does not exist.

    It is in the folder that DDMLP_CACHE names; if that is not set, in the user's cache folder or, if that cannot be
    used, among the temporary files. Raises OSError if none of them can be used: a folder that other users can write
    to or replace is refused.
    """
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # Path's needs a home
    candidates = [Path(user, "ddmlp"), Path(tempfile.gettempdir(), f"ddmlp-{os.geteuid()}")]
    if chosen := os.environ.get("DDMLP_CACHE"):
        candidates = [Path(chosen).absolute()]
    for candidate in filter(Path.is_absolute, candidates):
        with suppress(OSError):
            folder = candidate / "kernels"
            folder.mkdir(0o700, parents=True, exist_ok=True)
            if _private(folder) and os.access(folder, os.W_OK | os.X_OK):
                return folder
    raise FileNotFoundError(f"no private folder for compiled kernels in {' or '.join(map(str, candidates))}")


def _private(folder: Path) -> bool:
    """Whether a folder belongs to this user, no other user can write to it, and no parent lets all users replace it."""
    path = folder.resolve()
    modes = [each.stat().st_mode for each in path.parents]
    replaceable = any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in modes)
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not replaceable


def _evict(folder: Path) -> None:
    """Evict the least recently used code. A process that uses it has loaded it already, or compiles it again."""
    kept = [each for each in folder.iterdir() if re.fullmatch("[0-9a-f]{64}", each.name)]
    kept.sort(key=lambda each: each.stat().st_mtime, reverse=True)
    for old in kept[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)


@cache
def _digest(folder: Path) -> str:
    """The SHA-256 of the Python files in a folder. Raises OSError if they may differ from those that were imported."""
    digest = hashlib.sha256()
    paths = sorted(folder.glob("[!.]*.py"))
    if not paths or any(path.stat().st_mtime > BEGAN for path in paths):
        raise FileNotFoundError(f"{folder}: the sources are missing, or have changed since they were imported")
    for path in paths:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _seal(path: Path, code: bytes) -> bytes:
    """The digest of the code and of the place in the cache that it belongs to."""
    return hashlib.sha256("/".join(path.parts[-2:]).encode() + b"\0" + code).digest()
