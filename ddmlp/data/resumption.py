"""How a stream continues after the rows that a dataset has: at a position, or by comparison; and if it broke off."""

from contextlib import ExitStack
from pathlib import Path

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.quarantine import Quarantine, refuse
from ddmlp.data.repetition import Repetition
from ddmlp.data.sources import PositionedSource, Source
from ddmlp.errors import DatasetError

RESUME_HINT = (
    "they are kept: resume the run with the remaining rows, or with all rows, or with the end marked if no more will "
    "come"
)


def resume_stream(
    source: Source, path: Path, known: Manifest | None, quarantine: Quarantine | None, stack: ExitStack
) -> Repetition | None:
    """Let a stream continue after the rows of the dataset at `path`, before its first row is read.

    Parameters
    ----------
    known : Manifest or None
        The manifest of the dataset; None if there is none yet.
    quarantine : Quarantine or None
        Where rows are put that cannot be decoded. It is opened until `stack` ends.

    Returns
    -------
    Repetition or None
        The filter for the rows of a stream without positions; None if all of its rows are new.

    Raises
    ------
    DatasetError
        The rows come from a stream of another kind, or the quarantine does not fit.
    """
    positioned = isinstance(source, PositionedSource)
    if known and bool(known.position) != positioned:
        whence = f"from {known.position.identity}" if known.position else "from a stream without positions"
        raise DatasetError(
            f"{source.name} cannot continue after the rows in {path}, which come {whence}; resume with that stream, or "
            "mark the end"
        )
    if not isinstance(source, PositionedSource):  # no `positioned`, for the types
        return Repetition(Dataset(path), f"the stream from {source.name}") if known else None
    position = known.position if known else None
    if quarantine:
        stack.enter_context(quarantine.opened(position))
    source.begin(position, known.image_shape if known else None, quarantine.add if quarantine else refuse)
    return None


def break_error(source: Source, rows: int, repetition: Repetition | None) -> DatasetError:
    """Return the error for a stream that broke off after `rows` new rows."""
    if isinstance(source, PositionedSource):
        return DatasetError(
            f"{source.name} is gone, after {rows:,} rows: {source.lost}; they are kept: resume the run once it is back"
        )
    skipped = repetition.skipped if repetition else 0
    return DatasetError(
        f"the stream from {source.name} broke off after {skipped + rows:,} rows, without Arrow's end-of-stream marker "
        f"({source.lost}); " + (RESUME_HINT if rows or repetition else "expected an Arrow IPC stream")
    )
