"""Where the rows of a run come from: a folder, a stream, or memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ddmlp.api import CLASSES
from ddmlp.api.converted_rows import ConvertedRows, Note, dataset_folder, refuse_old
from ddmlp.api.options import Options
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.sources import PositionedSource
from ddmlp.data.sources.registry import is_finite, is_stream, open_stream
from ddmlp.errors import ConfigError, DatasetError
from ddmlp.files import as_path
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run

if TYPE_CHECKING:
    from ddmlp.data.ingest import StreamIngest
    from ddmlp.data.sources.in_memory import RowsInMemory
    from ddmlp.data.sources.ray_dataset import RayDataset

FORMS = "a folder, a file, a URI, a pair (images, labels), a pyarrow Table, a Dataset, or a dataset of Ray Data"
POLL_SECONDS = 0.2  # between looks for the first rows


class RunRows(Protocol):
    """The rows of a run.

    Attributes
    ----------
    folder : Path
        Where they are trained on: a folder with the datasets train/ and, if there are test data, test/.
    ready : bool
        Whether they exist before the run begins.
    streamed : bool
        Whether they come from a stream.
    """

    folder: Path
    ready: bool
    streamed: bool

    def supplied(
        self, run: Run, batch: int, options: Options, note: Note
    ) -> "AbstractContextManager[StreamIngest | None]":
        """Put the rows into the folder: before the block, or while it runs by the ingest that is returned."""


@dataclass
class FolderRows:
    """A folder of datasets."""

    folder: Path
    ready = True
    streamed = False

    @contextmanager
    def supplied(self, run: Run, batch: int, options: Options, note: Note) -> Iterator[None]:  # noqa: ARG002
        yield None


@dataclass
class StreamRows:
    """A stream, which is written into the run's folder while it is trained on."""

    uri: str
    folder: Path
    classes: int | None
    resume: bool
    ready = False
    streamed = True

    @contextmanager
    def supplied(self, run: Run, batch: int, options: Options, note: Note) -> "Iterator[StreamIngest]":
        from ddmlp.data.ingest import StreamIngest
        from ddmlp.data.quarantine import Quarantine

        path, classes = self.folder / "train", CLASSES if self.classes is None else self.classes
        if self.resume and (path / NAME).exists():
            classes = Manifest.read(path).classes
        elif not self.resume:
            refuse_old(run)
        source, quarantine = open_stream(self.uri), None
        if options.quarantine is not None:
            if not isinstance(source, PositionedSource):
                raise ConfigError(f"quarantine goes with a stream that has positions, which {self.uri} has not")
            quarantine = Quarantine(Path(options.quarantine), options.max_bad_rows)
        spool = options.spool_bytes
        ingest = StreamIngest(source, path, classes, batch, note=note, quarantine=quarantine, spool_bytes=spool)
        try:
            ingest.start()
            yield ingest
        finally:
            ingest.stop()


def find_data(data: str | Path, *, follow: bool, own: bool = False) -> Path:
    """The folder with train/ and test/, absolute; raises ConfigError if it does not have them.

    follow: rows may still arrive, so neither must exist; own: the folder is the run's own, and needs no test/.
    """
    path = Path(data)
    for part in () if follow else ("train",) if own else ("train", "test"):
        if not (path / part / NAME).exists():
            if (path / NAME).exists():
                raise ConfigError(f"{path} is one dataset, expected a folder with the datasets train/ and test/")
            found = (
                f"has no dataset {part}/" if path.is_dir() else "is not a folder" if path.exists() else "does not exist"
            )
            raise ConfigError(
                f"{path} {found}; expected a folder with train/ and test/, as `ddmlp convert` writes it; if the data "
                "of the run have moved, name their new folder"
            )
    return path.resolve()


def rows_of(data: Any, test: Any, run: Run, classes: int | None, *, follow: bool) -> RunRows:
    """The rows that a new run is to have, by the forms that `fit` takes; raises ConfigError and DatasetError."""
    if classes is not None and (type(classes) is not int or not 1 <= classes <= 256):
        raise ConfigError(f"classes is {classes!r}, expected a whole number from 1 to 256")
    folder = run.spool.resolve()
    if is_stream(data):
        if test is not None:
            raise ConfigError(f"test goes with data in memory or in files, not with the stream {data}")
        return StreamRows(data, folder, classes, resume=False)
    if isinstance(data, str | Path) and not is_finite(data):
        as_path(data, "data", FORMS)
        if test is not None:
            raise ConfigError(f"test goes with data in memory or in files; put the dataset into {data}/test")
        if classes is not None:
            raise ConfigError(
                "classes goes with a stream, files or data in memory: a dataset stores its number of classes"
            )
        return FolderRows(find_data(data, follow=follow))
    from ddmlp.data.sources.in_memory import RowsInMemory

    train = _given(data, "data")
    if follow:
        raise ConfigError("follow goes with a folder or a stream: data in memory or in files are complete")
    tested = None if test is None else _given(test, "test")
    if isinstance(train, RowsInMemory):
        if isinstance(tested, RowsInMemory):
            _check_fit(train, classes, tested.image_shape, tested.count_classes())
        elif isinstance(tested, str | Path) and not is_finite(tested):
            manifest = Manifest.read(dataset_folder(tested))
            _check_fit(train, classes, manifest.image_shape, manifest.classes)
    return ConvertedRows(train, tested, folder, classes)


def _given(data: Any, name: str) -> "RowsInMemory | RayDataset | str | Path":
    """Return rows in memory or in Ray Data, or the place of a file or a dataset; raises ConfigError for others."""
    from ddmlp.api.dataset import Dataset
    from ddmlp.data.sources.in_memory import RowsInMemory
    from ddmlp.data.sources.ray_dataset import RayDataset

    if isinstance(data, Dataset):
        return data.path
    if isinstance(data, str | Path):
        return data if is_finite(data) else as_path(data, name, FORMS)
    found = RowsInMemory.of(data, name) or RayDataset.of(data, name)
    if found is None:
        raise ConfigError(f"{name} is a {type(data).__name__}, expected {FORMS}")
    return found


def _check_fit(train: "RowsInMemory", classes: int | None, shape: tuple[int, int], tested: int) -> None:
    """Raise ConfigError if test data of this shape and number of classes do not fit the training data."""
    if shape != train.image_shape:
        raise ConfigError(
            f"test has images of {shape[0]} x {shape[1]} pixels, but data has images of {train.image_shape[0]} x "
            f"{train.image_shape[1]}"
        )
    if tested > (trained := classes or train.count_classes()):
        raise ConfigError(
            f"test has {tested} classes, but data has {trained}; number the classes alike, or set classes to {tested} "
            "if some have no training rows"
        )


def rows_again(data: str | Path | None, begun: Origin, run: Run, classes: int | None = None) -> RunRows:
    """The rows that a run continues with, by default those that it was begun with; raises ConfigError."""
    if is_stream(data):
        return StreamRows(data, run.spool.resolve(), classes, resume=True)
    folder = begun.data if data is None else as_path(data, "data", "the path of a folder, or the URI of a stream")
    return FolderRows(find_data(folder, follow=begun.config.follow, own=folder.resolve() == run.spool.resolve()))


def wait_for_rows(folder: Path, ingest: "StreamIngest | None", seconds: float, show: Callable[[str], None]) -> None:
    """Wait for the first rows of a run that follows its data; raises DatasetError if none arrive in time.

    show: called with what is waited for, again and again.
    """
    path, start = folder / "train", time.monotonic()
    while not (path / NAME).exists():
        if ingest:
            ingest.raise_error()
        if time.monotonic() - start > seconds:
            raise DatasetError(f"no rows have arrived in {path} within {seconds:g} s (idle_timeout)")
        show(f"waiting for rows in {path}")
        time.sleep(POLL_SECONDS)
