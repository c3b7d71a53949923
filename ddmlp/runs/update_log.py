"""The order of updates: the order in which steps were applied, and the version of the weights that each had read."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import RunError
from ddmlp.files import naming
from ddmlp.plan.plan import Update

_LINE = 26  # bytes: two numbers of 12 digits, a space and a newline


class UpdateLog:
    """The file updates.txt of a run. Line v is the update applied to version v: "step read", in 26 bytes.

    Updates are on disk before the checkpoint that covers them, so a checkpoint of version v has at least v lines.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     log = UpdateLog(Path(folder) / "updates.txt")
    ...     log.rewind(0)
    ...     log.append(Update(step=0, read=0))
    ...     log.append(Update(step=1, read=0))
    ...     log.commit()
    ...     log.load(2)
    array([[0, 0],
           [1, 0]])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new: list[Update] = []

    def rewind(self, version: int) -> None:
        """Drop the updates past `version`.

        Raises
        ------
        RunError
            If there are fewer lines than that: the run could not be replayed.
        OSError
            If the file cannot be written.
        """
        self._new = []
        found = self.path.stat().st_size // _LINE if self.path.exists() else 0
        if found < version:
            raise RunError(
                f"{self.path} has {found} lines, expected at least {version}, one for each update of the checkpoint; "
                "restore it, or begin another run"
            )
        with naming(self.path), self.path.open("ab") as file:
            file.truncate(version * _LINE)

    def append(self, update: Update) -> None:
        """Add an update. `commit` writes it."""
        self._new.append(update)

    def commit(self) -> None:
        """Write the added updates to disk. Raises OSError."""
        with naming(self.path), self.path.open("ab") as file:
            file.write(b"".join(b"%12d %12d\n" % update for update in self._new))
            file.flush()
            os.fsync(file.fileno())
        self._new = []

    def load(self, count: int) -> NDArray[np.int64]:
        """Read the first `count` updates.

        Returns
        -------
        (count, 2) int64
            Step and read version of each update.

        Raises
        ------
        RunError
            If the file is missing or damaged, or if its lines are not the steps 0 to count - 1, each once.
        """
        try:
            with self.path.open("rb") as file:
                text = file.read(count * _LINE)
            found = _parse(np.frombuffer(text, np.uint8).reshape(count, 2, _LINE // 2))
        except FileNotFoundError:
            raise RunError(f"{self.path} is missing: without it the run cannot be computed again") from None
        except ValueError as error:
            raise RunError(f"{self.path} is damaged or has fewer than {count} lines: {error}") from None
        steps, read = found[:, 0], found[:, 1]
        versions = np.arange(count)
        wrong = np.flatnonzero((read < 0) | (read > versions) | (steps < 0) | (steps >= count))
        if wrong.size:
            line = int(wrong[0])
            raise RunError(f"{self.path} is damaged: line {line + 1} says step {steps[line]} read version {read[line]}")
        order = np.argsort(steps, kind="stable")
        again = order[1:][np.diff(steps[order]) == 0]  # as many lines as steps: if none occurs twice, none is missing
        if again.size:
            line = int(again.min())
            raise RunError(f"{self.path} is damaged: line {line + 1} repeats step {steps[line]}")
        return found


def _parse(cells: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Parse two numbers per line, given as characters (lines, 2, 13): 12 for the number and one separator.

    Raises ValueError.
    """
    digits, ends = cells[..., :-1], cells[..., -1]
    number = (digits >= ord("0")) & (digits <= ord("9"))
    right = (number | (digits == ord(" "))).all(axis=2) & (number[..., 1:] >= number[..., :-1]).all(axis=2)
    right &= number[..., -1] & (ends == np.frombuffer(b" \n", np.uint8))
    if not right.all():
        raise ValueError(f"line {int(np.argmin(right.all(axis=1))) + 1} is not two numbers of at most 12 digits")
    values = np.where(number, digits - np.uint8(ord("0")), 0).astype(np.int64)
    return values @ 10 ** np.arange(_LINE // 2 - 2, -1, -1)
