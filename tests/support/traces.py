"""Traces: read, and checked by the rules of Chrome's Trace Event Format."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from ddmlp.runs.trace_file import NAME

UNIT = {"queued", "taken", "read", "computed", "sent", "added"}


def events(run: Path, name: str = NAME) -> list[dict[str, Any]]:
    """The events of a run's trace, which is as the format demands."""
    text = (run / name).read_text()
    assert text.startswith("[\n")
    assert text.endswith(",\n"), "the format permits a file without the last bracket"
    found: list[dict[str, Any]] = json.loads(text[:-2] + "]")
    for event in found:
        check(event)
    tracks = defaultdict(list)
    for event in found:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for track in tracks.values():
        assert all(end <= begin for (_, end), (begin, _) in pairwise(sorted(track))), "slices overlap"
    return found


def check(event: dict[str, Any]) -> None:
    """Check an event: see the document "Trace Event Format", for each kind `ph`."""
    assert {type(event[name]) for name in ("pid", "tid")} == {int}
    assert isinstance(event["name"], str)
    assert isinstance(event["args"], dict)
    if event["ph"] == "M":
        assert event["name"] in ("process_name", "thread_name")
        assert isinstance(event["args"]["name"], str)
        return
    assert type(event["ts"]) is int
    assert event["ts"] > 0
    if event["ph"] == "X":
        assert type(event["dur"]) is int
        assert event["dur"] >= 0
    elif event["ph"] == "i":
        assert event["s"] == "t"
    else:
        assert event["ph"] == "C"
        assert event["args"]
        assert {type(value) for value in event["args"].values()} == {int}


def named(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The events of this name."""
    return [event for event in found if event["name"] == name]


def units(found: list[dict[str, Any]], name: str) -> list[tuple[int, int, int]]:
    """The units of the events of this name: step, first microbatch, microbatches."""
    return [(e["args"]["step"], e["args"]["first"], e["args"]["count"]) for e in named(found, name)]
