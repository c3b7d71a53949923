"""Rows that are converted into a dataset before a run begins: from memory, Ray Data, files, or a store."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.api.options import Options
from ddmlp.data.manifest import NAME
from ddmlp.data.sources.registry import finite_parts
from ddmlp.errors import ConfigError
from ddmlp.runs.run import Run

if TYPE_CHECKING:
    from ddmlp.data.sources.in_memory import RowsInMemory
    from ddmlp.data.sources.parts import Parts
    from ddmlp.data.sources.ray_dataset import RayDataset

Note = Callable[[str], None]


@dataclass
class ConvertedRows:
    """Rows in memory, in Ray Data, in files or in a store, which are written into the run's folder before it begins.

    test: the test data, if they are not part of `data`; also as the path of a dataset, which is copied.
    """

    data: "RowsInMemory | RayDataset | str | Path"
    test: "RowsInMemory | RayDataset | str | Path | None"
    folder: Path
    classes: int | None
    ready = False
    streamed = False

    @contextmanager
    def supplied(self, run: Run, batch: int, options: Options, note: Note) -> Iterator[None]:  # noqa: ARG002
        from ddmlp.data.convert import convert
        from ddmlp.data.sources.dataset_folder import DatasetFolder

        refuse_old(run)
        try:
            with ExitStack() as stack:
                parts = _parts_of(self.data, stack)
                if parts.about:
                    note(f"note: {parts.about}")
                sources, test = {self.folder / "train": parts.train}, parts.test
                if isinstance(self.test, str | Path) and is_dataset(self.test):
                    test = DatasetFolder(dataset_folder(self.test))
                elif self.test is not None:
                    others = _parts_of(self.test, stack)
                    test = others.test or others.train
                if test:
                    sources[self.folder / "test"] = test
                if isinstance(parts.train, DatasetFolder) and self.classes is not None:
                    raise ConfigError("classes does not go with a dataset, which stores its number of classes")
                copies = {path: each for path, each in sources.items() if isinstance(each, DatasetFolder)}
                converted = {path: each for path, each in sources.items() if path not in copies}
                if converted:
                    convert(
                        converted,
                        classes=self.classes,
                        class_names=parts.names_of(self.classes),
                        changes=parts.changes,
                        warn=lambda line: note(f"warning: {line}"),
                    )
                for path, each in copies.items():
                    each.copy(path)
            yield None
        finally:
            if not run.exists:
                shutil.rmtree(self.folder, ignore_errors=True)


def _parts_of(data: "RowsInMemory | RayDataset | str | Path", stack: ExitStack) -> "Parts":
    from ddmlp.data.sources.parts import Parts

    return stack.enter_context(finite_parts(data)) if isinstance(data, str | Path) else Parts(data)


def refuse_old(run: Run) -> None:
    """Raise ConfigError if the run's folder has rows, though no run has begun there."""
    if (path := run.spool / "train" / NAME).exists():
        raise ConfigError(f"{path.parent} holds rows of a run that never started; remove it, or choose another folder")


def dataset_folder(data: str | Path) -> Path:
    """The dataset at a path, or test/ in it."""
    path = Path(data)
    return path if (path / NAME).exists() else path / "test"


def is_dataset(data: str | Path) -> bool:
    """Whether there is a dataset at a path, or test/ in it."""
    return (dataset_folder(data) / NAME).exists()
