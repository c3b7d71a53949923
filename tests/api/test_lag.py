"""How far a run is behind its stream, in reports, events, and for other processes."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddmlp.api.lag import lag_of, measured_lag
from ddmlp.api.progress import lag_text
from ddmlp.data.sources import StreamEnd
from ddmlp.runs.events import Saved
from ddmlp.runs.lag import NAME, Lag, read_lag
from ddmlp.runs.run import Run
from tests.api.test_progress import STREAM
from tests.support.events import progress


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def now(messages: int, rows: int | None) -> StreamEnd:
    return StreamEnd(messages, rows, time.monotonic())


def test_simple(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """100 rows are in the stream, 90 of them trained on, 4 of the others still in the broker."""
    monkeypatch.setattr("ddmlp.api.lag.FRESH_SECONDS", 1_000)
    ingest = SimpleNamespace(end=now(4, 100))
    saved, event = Saved(1, 0.5, ""), progress(9, rows=80, trained_to=ago(7_000))
    with measured_lag(Run(tmp_path), ingest) as meter:
        found = meter.added_to(replace(STREAM, rows=90, trained_to=ago(50), events=[saved, event]))
        assert (found.lag.messages, found.lag.rows) == (4, 10)
        assert 50 <= found.lag.seconds < 1_000
        assert read_lag(tmp_path) == found.lag
        assert found.events[0] == saved
        assert (found.events[1].lag.rows, found.events[1].step) == (20, 9)
        assert 7_000 <= found.events[1].lag.seconds < 8_000
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("end", [None, StreamEnd(4, 100, -1_000.0)])
def test_broker_is_away(tmp_path: Path, end: StreamEnd | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.api.lag.WRITE_SECONDS", 0.0)
    ingest = SimpleNamespace(end=now(4, 100))
    with measured_lag(Run(tmp_path), ingest) as meter:
        assert meter.added_to(STREAM).lag
        ingest.end = end
        found = meter.added_to(replace(STREAM, events=[progress(9)]))
        assert (found.lag, found.events[0].lag, read_lag(tmp_path)) == (None, None, None)


def test_no_stream(tmp_path: Path):
    with measured_lag(Run(tmp_path), None) as meter:
        assert meter.added_to(STREAM) == STREAM
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("end", "trained", "reached", "expected", "text"),
    [
        (now(0, 100), 100, ago(50), Lag(messages=0, rows=0, seconds=0.0), "0 rows, 0 s"),
        (now(0, 100), 103, None, Lag(messages=0, rows=0, seconds=0.0), "0 rows, 0 s"),  # more rows came since
        (now(2, 100), 98, None, Lag(messages=2, rows=2), "2 rows"),
        (now(1_000, None), 98, None, Lag(messages=1_000), "1,000 messages"),
        (now(2, None), 98, ago(-10_000), Lag(messages=2, seconds=0.0), "2 messages, 0 s"),  # the clocks differ
    ],
)
def test_lag_of(end: StreamEnd, trained: int, reached: datetime | None, expected: Lag, text: str):
    assert lag_of(end, trained, reached) == expected
    assert lag_text(expected) == text
