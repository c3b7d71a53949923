"""The timeline of a report: parts of the run's trace."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddmlp.runs.trace_events import PROCESSES, QUEUE
from ddmlp.runs.trace_file import NAME, read_events, whole_lines

BEGINNING, END = 60_000, 150_000  # bytes of the trace that are shown
AROUND, EVENTS = 30_000, 6  # bytes on each side of an event, such as the death of a worker, and events shown so
MOMENT = re.compile(rb'"ph":"i"')


@dataclass(frozen=True)
class Timeline:
    """A part of a trace.

    Parameters
    ----------
    events
        Its events, as JSON that may be within a script element.
    seconds
        How much time the file with the trace covers.
    whole
        Whether these are all of its events.
    """

    events: str
    seconds: float
    whole: bool


def timeline(run: Path) -> Timeline | None:
    """Return what to show of a run's trace: its beginning, its end, and what is around events; None if it has none."""
    try:
        data = whole_lines((run / NAME).read_bytes())
    except OSError:
        return None
    stretches = merged(_stretches(data))
    found = [event for begin, end in stretches for event in read_events(data[begin:end])]
    moments = [event["ts"] for event in found if type(event.get("ts")) is int]
    if not moments:
        return None
    shown = [event for event in found if event.get("pid") != QUEUE]
    if stretches != [(0, len(data))]:
        shown = _names(data) + shown
    text = json.dumps(shown, separators=(",", ":")).replace("<", r"\u003c")
    return Timeline(text, (max(moments) - min(moments)) / 1e6, stretches == [(0, len(data))])


def merged(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return stretches in order, without overlaps.

    >>> merged([(0, 4), (9, 12), (3, 5)])
    [(0, 5), (9, 12)]
    """
    found: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def _stretches(data: bytes) -> list[tuple[int, int]]:
    """Return the parts to show, in whole lines."""
    places = [each.start() for each in MOMENT.finditer(data)]
    parts = [(0, BEGINNING), (len(data) - END, len(data))]
    parts += [(place - AROUND, place + AROUND) for place in places[-EVENTS:]]
    return [(_line(data, begin), _line(data, end)) for begin, end in parts]


def _line(data: bytes, place: int) -> int:
    """Return where the first line begins that begins at a place or after it."""
    return 0 if place <= 0 else len(data) if place >= len(data) else data.index(b"\n", place - 1) + 1


def _names(data: bytes) -> list[dict[str, Any]]:
    """Return the names of the lanes, which may be outside of what is shown."""
    lines = [line for line in data.split(b"\n") if line.startswith(b'{"ph":"M"')]
    return [event for event in read_events(b"\n".join(lines)) if event.get("pid") == PROCESSES]
