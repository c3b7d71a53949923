"""Rows that are all there, in files of images and labels, into datasets."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from ddmlp.data.manifest import NAME, Manifest
from ddmlp.data.sources import FiniteSource
from ddmlp.data.sources.idx_pair import Pair, find_pairs
from ddmlp.data.writer import SHARD_ROWS, DatasetWriter

__all__ = ["Pair", "convert", "find_pairs"]

RowProgress = Callable[[int, int], None]  # rows converted so far, rows in all


class Convertible(Protocol):
    """What can be converted: a `Pair` of IDX files, say."""

    def open(self) -> FiniteSource: ...


def convert(
    sources: Mapping[Path, Convertible],
    *,
    classes: int | None = None,
    class_names: tuple[str, ...] | None = None,
    shard_rows: int = SHARD_ROWS,
    overwrite: bool = False,
    extend: bool = False,
    end: bool = False,
    progress: RowProgress | None = None,
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
    shard_rows : int
        Rows of each shard but the last.
    overwrite, extend : bool
        Replace the datasets that are there, or add the rows to them.
    end : bool
        Mark the end of the datasets.
    progress : callable, optional
        Called with the rows converted so far and the rows in all.

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
        if classes is None and class_names is not None:
            classes = len(class_names)
        elif classes is None and extend and (first / NAME).exists():
            classes = Manifest.read(first).classes
        elif classes is None:
            classes = opened[first].count_classes()
        total, done = sum(each.rows for each in opened.values()), 0
        # Every writer is open until the last row of the last source is on disk: then all of them publish.
        writers = {
            path: stack.enter_context(
                DatasetWriter(
                    path,
                    each.image_shape,
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
            for pixels, labels in each.batches(classes):
                writers[path].append(pixels, labels)
                done += len(labels)
                if progress is not None:
                    progress(done, total)
        for writer in writers.values():
            writer.finish()
            if end:
                writer.end()
    return done
