"""The cache of compiled kernels: a folder of the user's own, with one folder for each state of sources and processor.

Code from it is run. So it must be what this user's processes wrote, whole, and made from the sources that run here.
Each file begins with a SHA-256 of the rest.
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

KEEP = 8  # folders of code; those that were used least recently are removed
SEAL = hashlib.sha256().digest_size  # bytes


def path(sources: Path, name: str, *made_with: object) -> Path:
    """The file for code that was made from all Python files of `sources`, with what `made_with` describes.

    Raises OSError where there is no cache, or where the sources are not those that run here.
    """
    key = repr((_digest(sources), made_with))
    return place() / hashlib.sha256(key.encode()).hexdigest() / name


def read(path: Path) -> bytes:
    """What `write` has written. Raises OSError where there is no such file, or it is damaged."""
    data = path.read_bytes()
    seal, code = data[:SEAL], data[SEAL:]
    if seal != _seal(path, code):
        raise OSError(f"{path} is damaged")
    with suppress(OSError):
        os.utime(path.parent)  # it is in use
    return code


def write(path: Path, code: bytes) -> None:
    """Write code for `read`, instead of whatever is at `path`. Raises OSError where that is impossible."""
    if not path.parent.is_dir():
        path.parent.unlink(missing_ok=True)
        path.parent.mkdir(0o700, exist_ok=True)
        _forget(path.parent.parent)
    if path.is_dir():
        shutil.rmtree(path)
    write_whole(path, _seal(path, code) + code)


def place() -> Path:
    """The folder of the cache: in DDMLP_CACHE, or else in the user's cache or, where that is impossible, among the
    temporary files. It is made if need be.

    Raises OSError where there is none. One that others can write to, or could have prepared, is none.
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
    """Whether a folder is this user's, and nobody else can write to it or put another in its place."""
    path = folder.resolve()
    modes = [each.stat().st_mode for each in path.parents]
    replaceable = any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in modes)
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not replaceable


def _forget(folder: Path) -> None:
    """Remove the code that was used least recently. A process that uses it has loaded it, or compiles it once more."""
    kept = [each for each in folder.iterdir() if re.fullmatch("[0-9a-f]{64}", each.name)]
    kept.sort(key=lambda each: each.stat().st_mtime, reverse=True)
    for old in kept[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)


@cache
def _digest(folder: Path) -> str:
    """The SHA-256 of the Python files in a folder. Raises OSError where it cannot be that of what runs here."""
    digest = hashlib.sha256()
    paths = sorted(folder.glob("[!.]*.py"))
    if not paths or any(path.stat().st_mtime > BEGAN for path in paths):
        raise FileNotFoundError(f"{folder}: the sources are gone, or were changed since they were imported")
    for path in paths:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _seal(path: Path, code: bytes) -> bytes:
    """The digest of code, and of where it belongs."""
    return hashlib.sha256("/".join(path.parts[-2:]).encode() + b"\0" + code).digest()
