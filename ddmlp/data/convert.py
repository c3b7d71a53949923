"""Rows that are all there, in files of images and labels, into datasets."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np

from ddmlp.data.changes import Changes
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.oddities import odd_labels, odd_pixels
from ddmlp.data.sources import FiniteSource
from ddmlp.data.sources.idx_pair import Pair, find_pairs
from ddmlp.data.writer import SHARD_ROWS, DatasetWriter
from ddmlp.errors import DatasetError

__all__ = ["Changes", "Pair", "convert", "find_pairs"]

RowProgress = Callable[[int, int], None]  # rows converted so far, rows in all
Warn = Callable[[str], None]


class Convertible(Protocol):
    """What can be converted: a `Pair` of IDX files, say."""

    def open(self) -> FiniteSource: ...


def convert(
    sources: Mapping[Path, Convertible],
    *,
    classes: int | None = None,
    class_names: tuple[str, ...] | None = None,
    changes: Changes = Changes(),  # noqa: B008 - it cannot be changed
    shard_rows: int = SHARD_ROWS,
    overwrite: bool = False,
    extend: bool = False,
    end: bool = False,
    progress: RowProgress | None = None,
    warn: Warn | None = None,
) -> int:
    """Convert each source into the dataset at its path: all of them, or none. Returns the rows converted.

    Parameters
    ----------
    sources : dict of Path to Pair
        What to convert, by the path of its dataset.
    classes : int, optional
        How many there are. By default `class_names`, the dataset that is extended, or the first source's labels say so.
    class_names : tuple of str, optional
        The names of the classes 0, 1, ...; by default those of the dataset that is extended.
    changes : Changes
        What is changed of the rows.
    shard_rows : int
        Rows of each shard but the last.
    overwrite, extend : bool
        Replace the datasets that are there, or add the rows to them.
    end : bool
        Mark the end of the datasets.
    progress : callable, optional
        Called with the rows converted so far and the rows in all.
    warn : callable, optional
        Called once all rows are read, with each thing that is unusual in them, as a line of text.

    Raises
    ------
    IdxError
        A file is damaged, or a label is outside the classes.
    DatasetError
        A dataset is there already, or does not fit.
    """
    with ExitStack() as stack:
        opened = {path: stack.enter_context(source.open()) for path, source in sources.items()}
        first = next(iter(opened))
        goes_on = extend and (first / NAME).exists()
        if classes is None and class_names is not None:
            classes = len(class_names)
        elif classes is None and goes_on:
            classes = Manifest.read(first).classes
        elif classes is None:
            classes = max(1, opened[first].count_classes() - changes.first_label)
        total, done, odd = sum(each.rows for each in opened.values()), 0, []
        # Every writer is open until the last row of the last source is on disk: then all of them publish.
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
            for rows in each.batches(classes + changes.first_label):
                try:
                    pixels, labels = changes.apply(rows, done - begin)
                except DatasetError as error:
                    raise DatasetError(f"rows for {path}: {error}") from None
                writers[path].append(pixels, labels)
                if done == begin:
                    odd.append((path, odd_pixels(pixels)))
                counts += np.bincount(labels, minlength=classes)
                done += len(labels)
                if progress is not None:
                    progress(done, total)
            odd.append((path, None if goes_on else odd_labels(counts)))
        for writer in writers.values():
            writer.finish()
            if end:
                writer.end()
    for path, what in odd:
        if what and warn is not None:
            warn(f"{path}: {what}")
    return done
