"""Atomic file writes, and folders locked by one process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ddmlp.errors import ConfigError

LOCK = ".writer.lock"  # the lock file in a folder


def as_path(value: Any, name: str, expected: str) -> Path:
    """Return a value that a user gave as a path. Raises ConfigError if it is none, or one that the system refuses.

    name, expected: the value and its meaning in the message.

    >>> as_path(5, "run", "the path of a folder")
    Traceback (most recent call last):
    ddmlp.errors.ConfigError: run is 5, expected the path of a folder
    """
    if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
        plain = isinstance(value, str | bytes | int | float | None)
        raise ConfigError(f"{name} is {repr(value) if plain else f'a {type(value).__name__}'}, expected {expected}")
    path = Path(value)
    try:
        path.exists()
    except OSError as error:  # the name is too long, for example
        raise ConfigError(f"{name} is {value!r}, expected {expected}: {error.strerror or error}") from None
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file for writing that replaces `path` atomically once it is complete and on disk.

    After an exception in the block, or a crash, `path` is as it was before.

    Raises
    ------
    OSError
        The file cannot be written; the error names `path`.

    Examples
    --------
    >>> with whole_file(Path("numbers")) as file:
    ...     count = file.write(b"123")
    >>> Path("numbers").read_bytes()
    b'123'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path, temporary):
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Add `path` to an OSError from the block that names no file, or only the temporary one.

    A write that fails, for example on a full disk, raises an error that does not name its file.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary and str(temporary)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def shown(path: Path | str) -> str:
    """Return a file name as text that UTF-8 can encode; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def write_whole(path: Path, text: str | bytes) -> None:
    """Write `text`, as UTF-8, to `path` atomically. Undecodable bytes of file names in it are escaped."""
    with whole_file(path) as file:
        file.write(text.encode(errors="backslashreplace") if isinstance(text, str) else text)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Lock `folder` for the block; yield False if another process has locked it. A lock ends with its process."""
    import filelock  # here, because it takes longer to import than the rest of this module

    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except (filelock.Timeout, FileNotFoundError):  # the other process may just have removed the folder
        yield False
        return
    try:
        yield True
    finally:
        # Removed before the release: a process that waits for this file then finds that it is gone.
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def sync_folder(path: Path) -> None:
    """Write a folder's entries to disk, so that a rename in it survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
