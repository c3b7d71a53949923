"""The lines of metrics.jsonl, read back (see `metrics`, which writes them)."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Event = dict[str, Any]
T = TypeVar("T")


class Queue(NamedTuple):
    """depth: when the line was written; high_water: the most so far; blocked: seconds that its sender has waited, since
    the last start."""

    depth: int
    high_water: int
    blocked: float


class Progress(NamedTuple):
    """How far a run was.

    rows: trained on so far; error, mistakes, speed: the mean E of a row in nats, the fraction of rows recognised
    wrongly and the rows a second, of the stretch since the line before; seconds: trained so far, in all sittings;
    waited: how many of these the server spent on having answers, since the last start; staleness: how many steps of the
    stretch were applied with which; prequential: see `metrics.Prequential`, of the newest rows.
    """

    step: int
    rows: int
    error: float
    mistakes: float
    speed: float
    seconds: float
    workers: int
    waited: float
    units: Queue
    gradients: Queue
    staleness: Counter[int]
    prequential: float | None


class Epoch(NamedTuple):
    """What the test came to after an epoch: fraction of rows recognised wrongly, and mean E in nats."""

    step: int
    error: float
    cross_entropy: float


class Saved(NamedTuple):
    """A checkpoint was written, in so many seconds."""

    step: int
    seconds: float


class Started(NamedTuple):
    """A sitting began, with these complaints about what it found."""

    step: int
    complaints: list[str]


Record = Progress | Epoch | Saved | Started


@dataclass(frozen=True)
class Records:
    """All that could be read, in its order, and how many lines could not."""

    lines: list[Record]
    damaged: int = 0

    @classmethod
    def read(cls, path: Path) -> "Records":
        """Raises OSError. A line that is half written, or another version's, counts as damaged."""
        lines: list[Record] = []
        damaged = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    if record := _record(json.loads(line)):
                        lines.append(record)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    damaged += 1
        return cls(lines, damaged)

    @cached_property
    def progress(self) -> list[Progress]:
        return self._of(Progress)

    @cached_property
    def epochs(self) -> list[Epoch]:
        return self._of(Epoch)

    @cached_property
    def saved(self) -> list[Saved]:
        return self._of(Saved)

    @cached_property
    def started(self) -> list[Started]:
        return self._of(Started)

    def _of(self, kind: type[T]) -> list[T]:
        return [line for line in self.lines if isinstance(line, kind)]

    def neighbours(self) -> Iterator[tuple[Progress, Progress]]:
        """Two lines of progress between which nothing but training happened: no test, no checkpoint, no start."""
        for before, after in pairwise(self.lines):
            if isinstance(before, Progress) and isinstance(after, Progress):
                yield before, after

    def sittings(self) -> list[Progress]:
        """The last line of progress of each sitting. What is counted since a start is summed over these."""
        lines = [line for line in self.lines if isinstance(line, Progress | Started)]
        return [
            line
            for line, after in pairwise([*lines, None])
            if isinstance(line, Progress) and not isinstance(after, Progress)
        ]

    def staleness(self) -> Counter[int]:
        """How many steps were applied with which staleness."""
        return sum((line.staleness for line in self.progress), Counter())


def _record(event: dict[str, Any]) -> Record | None:
    """A line as what it says; None for an event that is not known. Raises KeyError, TypeError, ValueError."""
    kind, step = event["event"], int(event["step"])
    if kind == "progress":
        return _progress(step, event)
    if kind == "epoch":
        return Epoch(step, float(event["test_error"]), float(event["test_cross_entropy"]))
    if kind == "checkpoint":
        return Saved(step, float(event["seconds"]))
    return Started(step, [str(complaint) for complaint in event["complaints"]]) if kind == "start" else None


def _progress(step: int, event: dict[str, Any]) -> Progress:
    tested_first = event.get("prequential")
    return Progress(
        step=step,
        rows=int(event["rows"]),
        error=float(event["error"]),
        mistakes=float(event["mistakes"]),
        speed=float(event["rows_per_second"]),
        seconds=float(event["seconds"]),
        workers=int(event["workers"]),
        waited=float(event["wait_seconds"]),
        units=_queue(event["queues"]["units"]),
        gradients=_queue(event["queues"]["gradients"]),
        staleness=Counter({int(each): int(count) for each, count in event["staleness"]["histogram"].items()}),
        prequential=None if tested_first is None else float(tested_first["error"]),
    )


def _queue(found: dict[str, Any]) -> Queue:
    return Queue(int(found["depth"]), int(found["high_water"]), float(found["blocked_seconds"]))
