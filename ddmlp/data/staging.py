"""The staging folder of a dataset: files that readers do not see before they are published."""

import re
import shutil
import tempfile
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path

from ddmlp.data.manifest import NAME as MANIFEST
from ddmlp.errors import DatasetError
from ddmlp.files import LOCK, locked, sync_folder

_OWN_NAMES = re.compile(  # of the files and folders that a writer may leave behind
    r"\d{5,}-[0-9a-f]{12}\.arrow|\.writing-[a-z0-9_]{8}|\.dataset\.json\.\d+\.tmp|\.writer\.lock"
)


class StagingFolder:
    """A locked folder for a dataset, with a subfolder for files that are not published yet.

    Parameters
    ----------
    dataset : str or Path
        The folder of the dataset; created if it does not exist.
    replace : bool
        Whether a dataset may exist there.

    Attributes
    ----------
    path : Path
        The subfolder.

    Raises
    ------
    DatasetError
        A dataset exists and `replace` is false, something else exists, another process writes there, or the folder
        cannot be created or written.
    """

    def __init__(self, dataset: str | Path, *, replace: bool) -> None:
        self._dataset = Path(dataset).absolute()
        self._check(dataset, replace)
        self._created = [folder for folder in (self._dataset, *self._dataset.parents) if not folder.exists()]
        self._stale = True  # killed writers may have left files
        self._lock = ExitStack()
        try:
            self._dataset.mkdir(parents=True, exist_ok=True)
            if not self._lock.enter_context(locked(self._dataset)):
                raise DatasetError(f"{dataset} is being written by another process; wait until it has finished")
            self.path = Path(tempfile.mkdtemp(prefix=".writing-", dir=self._dataset))
        except OSError as error:
            self._unlock()
            raise DatasetError(f"{dataset} cannot be written: {error.strerror or error}") from None
        except BaseException:
            self._unlock()
            raise

    def publish(self, names: Collection[str]) -> None:
        """Move files into the dataset's folder, and wait until this is on disk."""
        for name in names:
            (self.path / name).replace(self._dataset / name)
        sync_folder(self._dataset)

    def remove_stale(self, kept: Collection[str]) -> None:
        """Remove what killed writers left, and the shards of an overwritten dataset; only the first call does so."""
        if not self._stale:
            return
        for old in self._dataset.iterdir():
            if old.name not in {MANIFEST, LOCK, self.path.name, *kept} and _OWN_NAMES.fullmatch(old.name):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        self._stale = False

    def close(self) -> None:
        """Remove the subfolder, and unlock the dataset's folder; remove that, too, if it is new and empty."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _check(self, shown: str | Path, replace: bool) -> None:
        if not self._dataset.exists():
            return
        if (self._dataset / MANIFEST).exists():
            if not replace:
                raise DatasetError(
                    f"{shown} already exists; replace it with --overwrite (in Python: overwrite=True), or add rows to "
                    "it with --append (extend=True)"
                )
        elif not self._dataset.is_dir() or not all(_OWN_NAMES.fullmatch(each.name) for each in self._dataset.iterdir()):
            raise DatasetError(f"{shown} already exists, but is not a dataset, so it is kept; choose another path")

    def _unlock(self) -> None:
        self._lock.close()
        with suppress(OSError):  # a folder that is not empty stays, and those above it
            for folder in self._created:
                folder.rmdir()
