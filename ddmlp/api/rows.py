"""Where the rows of a run come from: a folder, a stream, or memory."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ddmlp.api import CLASSES
from ddmlp.api.options import Options
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.sources import PositionedSource
from ddmlp.data.sources.registry import is_stream, open_stream
from ddmlp.errors import ConfigError
from ddmlp.files import as_path
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run

if TYPE_CHECKING:
    from ddmlp.data.ingest import StreamIngest
    from ddmlp.data.sources.in_memory import RowsInMemory

Note = Callable[[str], None]


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


@dataclass
class MemoryRows:
    """Arrays or tables, which are written into the run's folder before it begins.

    test: the test data, also as the path of a dataset, which is copied.
    """

    train: "RowsInMemory"
    test: "RowsInMemory | Path | None"
    folder: Path
    classes: int | None
    ready = False
    streamed = False

    @contextmanager
    def supplied(self, run: Run, batch: int, options: Options, note: Note) -> Iterator[None]:  # noqa: ARG002
        from ddmlp.data.convert import convert

        refuse_old(run)
        sources = {self.folder / "train": self.train}
        if self.test and not isinstance(self.test, Path):
            sources[self.folder / "test"] = self.test
        classes = self.classes or self.train.count_classes()
        try:
            convert(sources, classes=classes, warn=lambda line: note(f"warning: {line}"))
            if isinstance(self.test, Path):
                shutil.copytree(self.test, self.folder / "test")
            yield None
        finally:
            if not run.exists:
                shutil.rmtree(self.folder, ignore_errors=True)


def refuse_old(run: Run) -> None:
    """Raise ConfigError if the run's folder has rows, though no run has begun there."""
    if (path := run.spool / "train" / NAME).exists():
        raise ConfigError(f"{path.parent} holds rows of a run that never started; remove it, or choose another folder")


def dataset_folder(data: str | Path) -> Path:
    """The dataset at a path, or test/ in it."""
    path = Path(data)
    return path if (path / NAME).exists() else path / "test"


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
    from ddmlp.data.sources.in_memory import RowsInMemory

    if classes is not None and (type(classes) is not int or not 1 <= classes <= 256):
        raise ConfigError(f"classes is {classes!r}, expected a whole number from 1 to 256")
    if isinstance(data, str | Path):
        as_path(data, "data", "a folder, a pair (images, labels), or a pyarrow Table")
        if test is not None:
            raise ConfigError(f"test goes with data in memory; put the dataset into {data}/test")
        if is_stream(data):
            return StreamRows(data, run.spool.resolve(), classes, resume=False)
        if classes is not None:
            raise ConfigError(
                "classes goes with a stream or with data in memory: a dataset stores its number of classes"
            )
        return FolderRows(find_data(data, follow=follow))
    train = RowsInMemory.of(data, "data")
    if train is None:
        raise ConfigError(
            f"data is a {type(data).__name__}, expected a folder, a pair (images, labels), or a pyarrow Table"
        )
    if follow:
        raise ConfigError("follow goes with a folder or a stream: data in memory are complete")
    if isinstance(test, str | Path):
        path = dataset_folder(as_path(test, "test", "a dataset"))
        manifest = Manifest.read(path)
        _check_fit(train, classes, manifest.image_shape, manifest.classes)
        return MemoryRows(train, path, run.spool.resolve(), classes)
    found = RowsInMemory.of(test, "test")
    if test is not None and found is None:
        raise ConfigError(
            f"test is a {type(test).__name__}, expected a dataset, a pair (images, labels), or a pyarrow Table"
        )
    if found:
        _check_fit(train, classes, found.image_shape, found.count_classes())
    return MemoryRows(train, found, run.spool.resolve(), classes)


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
