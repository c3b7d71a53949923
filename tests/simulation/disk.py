"""A disk that loses what was not synced. The files are real, in one folder, and a crash replaces them.

As POSIX promises: the content of a file survives once the file is synced, its name once its folder is.
"""

import os
import shutil
import stat
from pathlib import Path

from tests.simulation.scheduler import Action, Scheduler

SECONDS = 0.002  # the longest time that an operation takes


class Disk:
    """The disk of a run's folder."""

    def __init__(self, folder: Path, scheduler: Scheduler) -> None:
        self.folder, self._scheduler = folder, scheduler
        self._inodes: dict[int, bytes] = {}  # the synced contents
        self._names: dict[Path, bytes] = {}  # what survives of each file whose name does
        self._folders = {folder}  # the folders whose names survive
        self._seen: dict[Path, bytes] | None = None
        self.lost = 0  # files that a crash has changed
        self._moments = 0  # operations from now on until `_action`
        self._action: Action = lambda: None

    def trap(self, moments: int, action: Action) -> None:
        """Call `action` after so many moments at which the process changes the disk."""
        self._moments, self._action = moments, action

    def fsync(self, descriptor: int) -> None:
        """os.fsync"""
        process = self._scheduler.current
        if process is None or not process.alive:
            return
        found = os.fstat(descriptor)
        inode, path = found.st_ino, self._path_of(found.st_ino)
        if path is None:
            return
        self._moment()
        if stat.S_ISDIR(found.st_mode):
            self._sync_names(path)
        else:
            self._inodes[inode] = path.read_bytes()
            if path in self._names:
                self._names[path] = self._inodes[inode]
        self._moment()

    def replace(self, source: Path, target: Path) -> None:
        """os.replace"""
        process = self._scheduler.current
        assert process is None or process.alive, "a dead process changes files"
        here = self.folder in Path(target).parents
        if here:
            self._moment()
        Path(source).rename(target)
        if here:
            self._moment()

    def settle(self) -> None:
        """Everything that has been written is on disk."""
        self._names = self._contents()
        self._folders = {self.folder, *filter(Path.is_dir, self.folder.iterdir())}
        self._inodes = {path.stat().st_ino: content for path, content in self._names.items()}

    def crash(self, *, power: bool) -> None:
        """Decide what is left of the files: all that was written, or, if the power is lost, what has survived."""
        self._seen = self._contents()
        if power:
            self._seen = self._survivors(self._seen)

    def restore(self) -> None:
        """Write what is left, after the process that had crashed is gone."""
        assert self._seen is not None
        for each in self.folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        for path, content in self._seen.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        self._seen = None
        self.settle()

    def _path_of(self, inode: int) -> Path | None:
        """The path of a file or folder; None if it is on another disk."""
        if self.folder.stat().st_ino == inode:
            return self.folder
        folders = [os.fspath(self.folder)]
        for folder in folders:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.inode() == inode:
                        return Path(entry.path)
                    if entry.is_dir():
                        folders.append(entry.path)
        return None

    def _moment(self) -> None:
        if self._moments:
            self._moments -= 1
            if not self._moments:
                self._scheduler.after(0.0, self._action)
        self._scheduler.wait(self._scheduler.draw.random() * SECONDS)

    def _sync_names(self, folder: Path) -> None:
        for path in [path for path in self._names if path.parent == folder]:
            del self._names[path]
        for path in folder.iterdir():
            if path.is_dir():
                self._folders.add(path)
            else:  # a file with a name, but without synced content, may be empty
                self._names[path] = self._inodes.get(path.stat().st_ino, b"")

    def _contents(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}

    def _survivors(self, seen: dict[Path, bytes]) -> dict[Path, bytes]:
        """A possible state of the disk after the power was lost."""
        draw, found = self._scheduler.draw, {}
        gone = {folder for folder in self.folder.iterdir() if folder.is_dir() and folder not in self._folders}
        gone = {folder for folder in gone if draw.random() < 0.5}
        for path in sorted({*seen, *self._names}):
            if path.parent in gone:
                self.lost += 1
                continue
            safe, now = self._names.get(path), seen.get(path)
            inode = path.stat().st_ino if now is not None else -1
            synced = self._inodes.get(inode)
            content = now if draw.random() < 0.3 else safe
            if content is now and now is not None and now != safe:  # it was written, perhaps in part
                least = 0 if synced is None or not now.startswith(synced) else len(synced)
                content = now[: draw.randint(least, len(now))]
            if content is not None:
                found[path] = content
                self.lost += content != now
        return found
