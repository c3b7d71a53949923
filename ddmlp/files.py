"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LOCK = ".writer.lock"  # the file in a folder that its holder has locked


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write that appears at `path`, replacing what was there, only once it is complete and on disk.

    An exception in the block, or a crash, leaves what was at `path` as it was. Raises OSError if the file cannot
    be written.
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
    """Let an OSError from the block name `path`: a failed write, a full disk's say, does not know its file, and nobody
    knows the name of a temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary and str(temporary)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def shown(path: Path | str) -> str:
    """The name of a file as text that can be encoded in UTF-8: other bytes are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def write_whole(path: Path, text: str | bytes) -> None:
    """Write `text`, as UTF-8, to `path`, whole or not at all. What is no text, but bytes of a name, is escaped."""
    with whole_file(path) as file:
        file.write(text.encode(errors="backslashreplace") if isinstance(text, str) else text)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Whether this process is the only one that holds `folder` in such a block; a dead one holds nothing."""
    import filelock  # takes longer than all the rest of this module

    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except (filelock.Timeout, FileNotFoundError):  # or its holder has just removed the folder
        yield False
        return
    try:
        yield True
    finally:
        # While it is locked: a process that has it open finds, once it has the lock, that the file is gone.
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def sync_folder(path: Path) -> None:
    """Put a folder's entries on disk, so that a rename in it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
