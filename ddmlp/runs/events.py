"""The events of a run, which are the lines of metrics.jsonl."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from ddmlp.runs.json_text import Amount, Count, Digest, Fraction, Positive, Real, from_json
from ddmlp.runs.measures import PrequentialError, Staleness

T = TypeVar("T")


class Queue(Struct, frozen=True, rename={"blocked": "blocked_seconds"}):
    """depth: when the line was written; high_water: the most so far; blocked: seconds that its sender has waited, since
    the last start."""

    depth: Count
    high_water: Count
    blocked: Amount


class Queues(Struct, frozen=True):
    """A run's two queues."""

    units: Queue
    gradients: Queue


class Started(Struct, frozen=True, tag_field="event", tag="start"):
    """Training began after `step`, with these complaints about what it found. It takes back what lies past `step`."""

    step: Count
    complaints: list[str]


class Progress(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="event",
    tag="progress",
    rename={"speed": "rows_per_second", "waited": "wait_seconds"},
):
    """How far a run was.

    Parameters
    ----------
    epoch
        Epochs completed, with the fraction of the current one.
    rows
        Trained on so far.
    error, mistakes, speed
        Of the rows since the line before: the mean E in nats, the fraction recognised wrongly, rows a second.
    prequential
        None if rows are trained on more than once.
    seconds
        Trained so far, since the run began.
    staleness
        Of the steps since the line before.
    waited
        Seconds that the server waited for gradients, since the last start.
    reissued
        Units given to a second worker, since the last start.
    answered
        Units that each worker has answered, by its number, since the last start; none in one process.
    """

    step: Count
    epoch: Amount
    rows: Count
    error: float
    mistakes: Fraction
    prequential: PrequentialError | None = None
    speed: float
    seconds: Amount
    staleness: Staleness
    workers: Count
    queues: Queues
    waited: Amount
    reissued: Count
    answered: dict[Count, Count] = {}

    @property
    def units(self) -> Queue:
        return self.queues.units

    @property
    def gradients(self) -> Queue:
        return self.queues.gradients


class Epoch(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="event",
    tag="epoch",
    rename={"error": "test_error", "cross_entropy": "test_cross_entropy", "rows": "test_rows"},
):
    """An epoch ended, and its weights were tested.

    error, cross_entropy: the fraction of the test rows recognised wrongly, the mean E in nats; rows: how many test rows
    there are; seconds: trained so far.
    """

    step: Count
    epoch: Count
    error: Fraction
    cross_entropy: Real
    rows: Positive
    seconds: Amount


class Saved(Struct, frozen=True, tag_field="event", tag="checkpoint"):
    """A checkpoint was written, in so many seconds; chain: the digest of its entry in the hash chain."""

    step: Count
    seconds: Amount
    chain: Digest


class Lost(Struct, frozen=True, kw_only=True, tag_field="event", tag="lost"):
    """A worker was lost, or not let in; see `LostWorker`."""

    step: int
    worker: int
    host: str
    cause: str
    reason: str


Event: TypeAlias = Started | Progress | Epoch | Saved | Lost


class AnyEvent(Struct):
    """What every event has, also one of a later version."""

    event: str
    step: Count


_KINDS = {kind.__struct_config__.tag for kind in (Started, Progress, Epoch, Saved, Lost)}


def read_event(line: str | bytes) -> Event | None:
    """The event of a line; None if it is of an unknown kind. Raises ValueError if the line is damaged."""
    found = from_json(line, dict[str, Any])
    known = msgspec.convert(found, AnyEvent).event in _KINDS
    return msgspec.convert(found, Event, str_keys=True) if known else None


@dataclass(frozen=True)
class Records:
    """The events that could be read, in their order, and how many lines could not."""

    lines: list[Event]
    damaged: int = 0

    @classmethod
    def read(cls, path: Path) -> "Records":
        """Raises OSError. A line that is half written, or another version's, counts as damaged."""
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
        """The last line of progress after each start. What is counted since a start is summed over these."""
        lines = [line for line in self.lines if isinstance(line, Progress | Started)]
        return [
            line
            for line, after in pairwise([*lines, None])
            if isinstance(line, Progress) and not isinstance(after, Progress)
        ]

    def staleness(self) -> Counter[int]:
        """How many steps were applied with which staleness."""
        return sum((Counter(line.staleness.histogram) for line in self.progress), Counter())
