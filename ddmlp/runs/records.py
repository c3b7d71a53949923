"""The events that a run has recorded, read from metrics.jsonl."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from ddmlp.runs.events import Drift, Epoch, Event, Progress, Saved, Started, read_event

T = TypeVar("T")


@dataclass(frozen=True)
class Records:
    """The events of a run in order.

    Parameters
    ----------
    lines
        The events.
    damaged
        Number of lines that could not be read.

    Examples
    --------
    >>> start, saved = Started(step=0, complaints=[]), Saved(step=4, seconds=0.5, chain="")
    >>> Records([start, saved]).saved
    [Saved(step=4, seconds=0.5, chain='')]
    """

    lines: list[Event]
    damaged: int = 0

    @classmethod
    def read(cls, path: Path) -> "Records":
        """Read a metrics.jsonl. A truncated line, or one with missing or wrong members, counts as damaged.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        lines: list[Event] = []
        damaged = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    if event := read_event(line):
                        lines.append(event)
                except ValueError:
                    damaged += 1
        return cls(lines, damaged)

    @cached_property
    def progress(self) -> list[Progress]:
        """The events of kind `Progress`."""
        return self._of(Progress)

    @cached_property
    def epochs(self) -> list[Epoch]:
        """The events of kind `Epoch`."""
        return self._of(Epoch)

    @cached_property
    def saved(self) -> list[Saved]:
        """The events of kind `Saved`."""
        return self._of(Saved)

    @cached_property
    def drifts(self) -> list[Drift]:
        """The events of kind `Drift`."""
        return self._of(Drift)

    @cached_property
    def started(self) -> list[Started]:
        """The events of kind `Started`."""
        return self._of(Started)

    def _of(self, kind: type[T]) -> list[T]:
        return [line for line in self.lines if isinstance(line, kind)]

    def neighbours(self) -> Iterator[tuple[Progress, Progress]]:
        """Yield pairs of consecutive progress events with only training between them: no test, checkpoint or start."""
        for before, after in pairwise(self.lines):
            if isinstance(before, Progress) and isinstance(after, Progress):
                yield before, after

    def sessions(self) -> list[Progress]:
        """Return the last progress event of each session. Counts since a start are totalled over these."""
        lines = [line for line in self.lines if isinstance(line, Progress | Started)]
        return [
            line
            for line, after in pairwise([*lines, None])
            if isinstance(line, Progress) and not isinstance(after, Progress)
        ]

    def staleness(self) -> Counter[int]:
        """Return the number of updates by staleness."""
        return sum((Counter(line.staleness.histogram) for line in self.progress), Counter())
