"""Conversion of sources of rows into datasets."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ddmlp.data.changes import Changes
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.oddities import odd_labels, odd_pixels
from ddmlp.data.sources import FiniteSource, Rows
from ddmlp.data.sources.idx_pair import Pair, find_pairs
from ddmlp.data.sources.parts import Convertible
from ddmlp.data.writer import SHARD_ROWS, DatasetWriter
from ddmlp.errors import DatasetError

__all__ = ["Changes", "Pair", "convert", "find_pairs"]

RowProgress = Callable[[int, int], None]  # rows converted so far, total rows
Warn = Callable[[str], None]


def convert(
    sources: Mapping[Path, Convertible],
    *,
    classes: int | None = None,
    class_names: tuple[str, ...] | None = None,
    changes: Changes = Changes(),  # noqa: B008 - immutable
    shard_rows: int = SHARD_ROWS,
    overwrite: bool = False,
    extend: bool = False,
    end: bool = False,
    progress: RowProgress | None = None,
    warn: Warn | None = None,
) -> int:
    """Convert each source into a dataset: either all datasets are published, or none.

    Parameters
    ----------
    sources : dict of Path to Convertible
        The sources, by the path of the dataset to write.
    classes : int, optional
        The number of classes. The default is the number of `class_names`, else that of the dataset to extend, else one
        more than the highest label of the first source.
    class_names : tuple of str, optional
        The names of the classes 0, 1, ...; by default those of the dataset to extend, else those of the first source.
    changes : Changes
        Changes to apply to the rows.
    shard_rows : int
        Rows per shard; the last shard may have fewer.
    overwrite, extend : bool
        Replace existing datasets, or append the rows to them.
    end : bool
        Mark the datasets as complete: no rows can be appended later.
    progress : callable, optional
        Called with the number of rows converted so far and the total number.
    warn : callable, optional
        Called after the last row with a line of text for each unusual property of the data.

    Returns
    -------
    int
        The total number of rows converted.

    Raises
    ------
    DataError
        A file is missing or damaged, or a label is outside the classes; a dataset already exists, or the rows do not
        fit each other or the dataset to extend.

    Examples
    --------
    >>> import numpy as np
    >>> from ddmlp.data.idx import write_idx
    >>> write_idx("images", np.zeros((5, 28, 28), np.uint8))
    >>> write_idx("labels", np.arange(5, dtype=np.uint8))
    >>> convert({Path("digits"): Pair(Path("images"), Path("labels"))}, classes=10)
    5
    >>> Manifest.read(Path("digits")).image_shape
    (28, 28)
    """
    with ExitStack() as stack:
        opened = {path: stack.enter_context(source.open()) for path, source in sources.items()}
        first = next(iter(opened))
        extending = extend and (first / NAME).exists()
        if classes is None and class_names is not None:
            classes = len(class_names)
        elif classes is None and extending:
            classes = Manifest.read(first).classes
        elif classes is None:
            classes = max(1, opened[first].count_classes() - changes.first_label)
        if class_names is None and not extending:
            class_names = _names(opened, classes, changes)
        total, done, odd = sum(each.rows for each in opened.values()), 0, []
        # Every writer stays open until the last row of the last source is on disk; then all publish.
        writers = {
            path: stack.enter_context(
                DatasetWriter(
                    path,
                    changes.shape(each.image_shape),
                    classes,
                    shard_rows=shard_rows,
                    overwrite=overwrite,
                    extend=extend,
                    class_names=class_names,
                )
            )
            for path, each in opened.items()
        }
        for path, each in opened.items():
            begin, counts = done, np.zeros(classes, np.intp)
            for pixels, labels in _changed(each, classes, changes, path):
                writers[path].append(pixels, labels)
                if done == begin:
                    odd.append((path, odd_pixels(pixels)))
                counts += np.bincount(labels, minlength=classes)
                done += len(labels)
                if progress is not None:
                    progress(done, total)
            odd.append((path, None if extending else odd_labels(counts)))
        for writer in writers.values():
            writer.finish()
            if end:
                writer.end()
    for path, what in odd:
        if what and warn is not None:
            warn(f"{path}: {what}")
    return done


def _names(opened: Mapping[Path, FiniteSource], classes: int, changes: Changes) -> tuple[str, ...] | None:
    """Return the names of the classes that the first source has; raises DatasetError if the others do not fit it."""
    (first, one), *others = opened.items()
    for path, each in others:
        if each.image_shape != one.image_shape:
            raise DatasetError(
                f"rows for {path}: they have images of {each.image_shape[0]} x {each.image_shape[1]} pixels, but those "
                f"for {first} of {one.image_shape[0]} x {one.image_shape[1]}; give all images one size"
            )
        if None not in (one.class_names, each.class_names) and one.class_names != each.class_names:
            raise DatasetError(
                f"rows for {path}: their classes are {each.class_names}, but those for {first} are {one.class_names}"
            )
    names = one.class_names
    return names if names and len(names) == classes and not changes.first_label else None


def _changed(source: FiniteSource, classes: int, changes: Changes, path: Path) -> Iterator[Rows]:
    """Yield the changed rows of a source; `path` is the dataset to write, for messages."""
    first = 0
    for rows in source.batches(classes + changes.first_label):
        try:
            changed = changes.apply(rows, first)
        except DatasetError as error:
            raise DatasetError(f"rows for {path}: {error}") from None
        yield changed
        first += len(changed.labels)
