"""Measures how far a run is behind its stream, while it trains."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import structs

from ddmlp.runs.events import Progress
from ddmlp.runs.lag import FRESH_SECONDS, Lag, write_lag
from ddmlp.runs.run import Run
from ddmlp.training.report import Report

if TYPE_CHECKING:
    from ddmlp.data.ingest import StreamIngest
    from ddmlp.data.sources import StreamEnd

WRITE_SECONDS = 1.0  # between writes of lag.json


class LagMeter:
    """Adds the lag to reports, and writes it into the run's folder, for other processes.

    ingest: that of the run's stream; None if it has none. If the broker does not answer, the lag is not known: what the
    broker said before is not repeated.
    """

    def __init__(self, run: Run, ingest: "StreamIngest | None") -> None:
        self._run, self._ingest = run.path, ingest
        self._written = 0.0

    def added_to(self, report: Report) -> Report:
        """Return the report with the lag, also in its progress events."""
        if self._ingest is None:
            return report
        end = self._ingest.end
        if end and time.monotonic() > end.moment + FRESH_SECONDS:
            end = None
        lag = lag_of(end, report.rows, report.trained_to) if end else None
        if time.monotonic() >= self._written + WRITE_SECONDS:
            self._written = time.monotonic()
            write_lag(self._run, lag)
        events = [
            structs.replace(event, lag=lag_of(end, event.rows, event.trained_to))
            if end and isinstance(event, Progress)
            else event
            for event in report.events
        ]
        return replace(report, lag=lag, events=events)


@contextmanager
def measured_lag(run: Run, ingest: "StreamIngest | None") -> Iterator[LagMeter]:
    """A meter, whose file is removed at the end of the block."""
    try:
        yield LagMeter(run, ingest)
    finally:
        if ingest:
            write_lag(run.path, None)


def lag_of(end: "StreamEnd", trained: int, trained_to: datetime | None) -> Lag:
    """Return how far a run is behind the end of its stream; trained, trained_to: its rows, and their event time."""
    rows = None if end.rows is None else max(0, end.rows - trained)
    seconds = 0.0 if rows == 0 else None
    if rows != 0 and trained_to is not None:
        seconds = round(max(0.0, (datetime.now(UTC) - trained_to).total_seconds()), 1)
    return Lag(messages=end.messages, rows=rows, seconds=seconds)
