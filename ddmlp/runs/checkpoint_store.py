"""Checkpoints elsewhere: in a store, each in one file with all that a resume on another machine needs."""

import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ddmlp.data.dataset import file_sha256
from ddmlp.data.store import Store
from ddmlp.errors import RunError, StoreError
from ddmlp.files import naming
from ddmlp.runs.checkpoint import load_checkpoint
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run

ORIGIN = "config.json"  # last in an archive: a folder with it holds a run
# The rest of an archive, apart from the checkpoint. A run without the order of its updates (if it is asynchronous)
# cannot be resumed; without the chain and the initial weights it could not be verified; the events are its curves.
REST = ("chain.jsonl", "updates.txt", "init.npz", "transform.py", "metrics.jsonl")
TEMPORARY = ".archive.tar"  # in the run's folder


class Archive(NamedTuple):
    """A file of the store. Its name has the position of its checkpoint, and the SHA-256 of its bytes.

    >>> Archive.named("step-000000000007-" + 64 * "a" + ".tar").step
    7
    >>> Archive.named("notes.txt")
    """

    step: int
    sha256: str

    @classmethod
    def named(cls, name: str) -> "Archive | None":
        """The archive with this name; None if it is another file."""
        found = re.fullmatch(r"step-(\d{12})-([0-9a-f]{64})\.tar", name)
        return cls(int(found[1]), found[2]) if found else None

    @property
    def name(self) -> str:
        return f"step-{self.step:012d}-{self.sha256}.tar"


class CheckpointStore:
    """The newest checkpoints of a run, in a store.

    An archive is a tar file. It is compared with its SHA-256 after it was written, before older ones are deleted; so
    whenever a process or a machine dies, the store has one that is whole, and damaged ones are recognised.

    Parameters
    ----------
    store : Store
        The store. No other run may use it.
    keep : int
        How many archives to keep.
    """

    def __init__(self, store: Store, keep: int) -> None:
        self._store, self._keep = store, keep
        self.shown = store.shown

    def archives(self) -> list[Archive]:
        """The archives, newest first; damaged ones, too. Raises StoreError."""
        found = [archive for name in self._store.names() if (archive := Archive.named(name))]
        return sorted(found, reverse=True)

    def save(self, run: Run) -> int:
        """Store the newest checkpoint of a run, and return its step.

        Raises
        ------
        StoreError
            If the store cannot be used, or does not have what was written to it.
        RunError, OSError
            If the run's folder has no checkpoint, or cannot be read.
        """
        path = run.path / TEMPORARY
        try:
            archive = Archive(_pack(run, path), file_sha256(path))
            self._store.write(archive.name, path)
        finally:
            path.unlink(missing_ok=True)
        if (found := self._store.sha256(archive.name)) != archive.sha256:
            raise StoreError(f"{self.shown}/{archive.name} has the SHA-256 {found[:16]}... after it was written")
        for old in [each for each in self.archives() if each != archive][max(0, self._keep - 1) :]:
            self._store.delete(old.name)
        return archive.step

    def restore(self, run: Run) -> list[str]:
        """Put the newest good checkpoint into the folder of a run that has not begun, with what belongs to it.

        Returns
        -------
        list of str
            A message about each newer one, which is damaged.

        Raises
        ------
        RunError
            If the store has no good checkpoint.
        StoreError, OSError
            If the store cannot be read, or the folder not written.
        """
        complaints: list[str] = []
        for archive in self.archives():
            try:
                with self._fetched(archive, run.path) as tar:
                    _unpack(tar, run, archive)
                return complaints
            except RunError as error:
                complaints.append(f"skipped the stored checkpoint {archive.name}: {error}")
        why = "; ".join(complaints) or "it has no file step-*.tar"
        raise RunError(f"{self.shown} holds no checkpoint of a run: {why}")

    def check_origin(self, begun: Origin | None, run: Run) -> None:
        """Raise RunError if the store has checkpoints of another run. begun: None if the run is new."""
        for archive in self.archives():
            if begun is None:
                raise RunError(
                    f"{self.shown} already holds checkpoints of a run, the newest of step {archive.step}: resume it, "
                    "or name another place"
                )
            try:
                with self._fetched(archive, run.path) as tar, _temporary(run.path / f"{TEMPORARY}.json") as path:
                    _copy(tar, ORIGIN, path)
                    found = Origin.read(path)
            except RunError:
                continue  # it is damaged
            if found.fixed != begun.fixed:
                raise RunError(f"{self.shown} holds checkpoints of another run than {run.path}: name another place")
            return

    @contextmanager
    def _fetched(self, archive: Archive, folder: Path) -> Iterator[tarfile.TarFile]:
        """An archive, copied into `folder` for the block. Raises RunError if it is damaged."""
        with _temporary(folder / TEMPORARY) as path:
            with naming(path), path.open("wb") as file:
                found = self._store.read(archive.name, file)
            if found != archive.sha256:
                raise RunError(f"it is damaged: its SHA-256 is {found[:16]}...")
            try:
                with tarfile.open(path) as tar:
                    yield tar
            except tarfile.TarError as error:
                raise RunError(f"it is no tar file: {error}") from None


def _pack(run: Run, path: Path) -> int:
    """Write the newest good checkpoint and what belongs to it into an archive, and return its step.

    The other files may grow meanwhile: what they have past the checkpoint is dropped by a resume.
    """
    newest = next(iter(run.checkpoints.paths()), None)
    if newest is None:
        raise RunError(f"{run.checkpoints.folder} has no checkpoint")
    checkpoint = load_checkpoint(newest)
    with naming(path), tarfile.open(path, "w") as tar:
        tar.add(newest, newest.name)
        for name in (*REST, ORIGIN):
            if (run.path / name).exists():
                tar.add(run.path / name, name)
    return checkpoint.step


def _unpack(tar: tarfile.TarFile, run: Run, archive: Archive) -> None:
    """Copy the files of an archive into the folder of a run. Raises RunError if its checkpoint or origin is damaged."""
    path = run.checkpoints.path(archive.step)
    with _temporary(run.path / f"{TEMPORARY}.npz") as temporary, _temporary(run.path / f"{TEMPORARY}.json") as origin:
        _copy(tar, path.name, temporary)
        load_checkpoint(temporary)
        _copy(tar, ORIGIN, origin)
        begun = Origin.read(origin)
        for name in REST:
            if name in tar.getnames():
                _copy(tar, name, run.path / name)
        path.parent.mkdir(exist_ok=True)
        temporary.replace(path)
        run.create(begun)


def _copy(tar: tarfile.TarFile, name: str, path: Path) -> None:
    """Copy a file out of an archive. Raises RunError if it has none of this name."""
    try:
        source = tar.extractfile(name)
    except KeyError:
        source = None
    if source is None:
        raise RunError(f"the archive has no {name}")
    with source, naming(path), path.open("wb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A path whose file is removed after the block."""
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
