"""What a person sees of a run: a bar in a terminal, lines elsewhere, nothing when quiet."""

import io
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from ddmlp.api import progress
from ddmlp.api.progress import RunProgress
from ddmlp.runs.events import Drift, Epoch, Lost, Started
from ddmlp.runs.lag import Lag
from ddmlp.training.report import Report
from ddmlp.training.worker_pool import EXITED, REJECTED, UNRESPONSIVE

REPORT = Report(
    step=30,
    steps=100,
    epoch=0,
    epochs=2,
    rows=3_000,
    error=0.25,
    rows_per_second=12_345.6,
    trained=1_000,
    updates={0: 10},
    prequential=math.nan,
    asynchronous=False,
    staleness=(0.0, 0),
    idle=0.0,
    depth=4,
    workers=2,
    overdue=0,
    lost=[],
    events=[],
    result=None,
)
STREAM = replace(REPORT, steps=None, epochs=None, rows=123_456)
EPOCH = Epoch(step=50, epoch=1, error=0.0187, cross_entropy=0.1, rows=1_000, seconds=1.0)


def shown(*reports: Report, terminal: bool = False, quiet: bool = False) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, highlight=False, soft_wrap=not terminal)
    with RunProgress(quiet=quiet, console=console) as shows:
        for report in reports:
            shows.show(report)
    return output.getvalue()


def test_simple(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    lines = shown(REPORT, replace(REPORT, step=60, epoch=1, events=[EPOCH])).splitlines()
    assert lines[0].startswith("epoch 1/2  step 30/100  loss 0.2500  12,346 rows/s  queue 4  left ")
    assert lines[1] == "epoch 1/2  test error 1.87%"
    assert lines[2].startswith("epoch 2/2  step 60/100")


def test_not_a_line_for_each_report(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 3_600)
    assert shown(*[REPORT] * 20) == ""


def test_a_bar_in_a_terminal():
    screen = shown(REPORT, replace(REPORT, step=60), terminal=True)
    for part in ("epoch 1/2", "━", "step 60/100", "loss 0.2500", "12,346 rows/s", "queue 4"):
        assert part in screen


def test_a_notebook_gets_text(capsys: pytest.CaptureFixture[str]):
    """As one output of its cell: rich would make one of each line."""
    RunProgress(quiet=False, console=Console(force_jupyter=True)).note("epoch 1/2")
    assert capsys.readouterr().out == "epoch 1/2\n"


def test_quiet_shows_nothing():
    complaining = Started(30, ["passed over a checkpoint"])
    assert shown(REPORT, replace(REPORT, events=[EPOCH, complaining]), quiet=True) == ""


def test_lost_workers():
    """What has happened to each is told apart, and one that does not answer has not died."""

    def lost(left: int, cause: str) -> Report:
        return replace(REPORT, workers=left, events=[Lost(step=3, worker=7, host="far", cause=cause, reason="so")])

    causes = (EXITED, UNRESPONSIVE, REJECTED, "of a later version")
    said = shown(replace(REPORT, workers=2), *[lost(left, cause) for left, cause in enumerate(causes)])
    lines = [line for line in said.splitlines() if line.startswith("worker 7 on far ")]
    assert len(lines) == 4
    assert len({line.partition(": so; ")[0] for line in lines}) == 4
    assert ["died" in line for line in lines] == [True, False, False, False]
    assert [line.rpartition(", ")[2] for line in lines] == ["none running", *(f"{left} running" for left in (1, 2, 3))]
    assert "far gets no replacement" in lines[2]


def test_a_worker_that_joins():
    said = shown(*[replace(REPORT, workers=workers) for workers in (2, 1, 1, 0, 2)])
    assert said == "a worker has joined: 2 running\n"


def test_no_rows_no_loss(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    assert "loss -  0 rows/s" in shown(replace(REPORT, error=float("nan"), rows_per_second=0.0))


def test_complaints_are_no_markup():
    complaining = Started(30, ["passed over a checkpoint: [red]it[/red] is damaged", "and another"])
    said = shown(replace(REPORT, events=[complaining]))
    assert said == "note: passed over a checkpoint: [red]it[/red] is damaged\nnote: and another\n"


def test_a_server_started_again():
    said = shown(*[replace(REPORT, step=step, workers=step % 3, events=[Started(step, [])]) for step in (32, 20, 21)])
    assert said.splitlines() == [
        f"the server has died and was restarted: continuing after step {step}" for step in (20, 21)
    ]


def test_time_left(monkeypatch: pytest.MonkeyPatch):
    """As many seconds as the steps to come take if they go on as they went; unknown before one is done."""
    now = 7.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    output = io.StringIO()
    with RunProgress(quiet=False, console=Console(file=output, width=200)) as shows:
        for step in (30, 20, 31, 35):
            shows.show(replace(REPORT, step=step))
            now += 20
    assert [line.rpartition("left ")[2] for line in output.getvalue().splitlines()] == ["?", "?", "0:46:00", "0:13:00"]


def test_a_stream_has_rows_and_no_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    lines = shown(STREAM, replace(STREAM, step=60, events=[EPOCH])).splitlines()
    assert lines == [
        "rows 123,456  step 30/-  loss 0.2500  12,346 rows/s  queue 4",
        "rows 123,456  test error 1.87%",
        "rows 123,456  step 60/-  loss 0.2500  12,346 rows/s  queue 4",
    ]
    assert "step 60/-" in shown(STREAM, replace(STREAM, step=60), terminal=True)
    ended = shown(STREAM, replace(STREAM, step=60, steps=60)).splitlines()[-1]
    assert ended.endswith("step 60/60  loss 0.2500  12,346 rows/s  queue 4  left 0:00:00"), "its end was published"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ""),
        ({"staleness": (2.0, 2)}, ""),  # of a delay, which never differs
        ({"asynchronous": True, "staleness": (1.25, 3)}, "  staleness 1.2, 3 at most"),
        ({"prequential": 0.0525}, "  tested first 5.25%"),
        ({"lag": Lag(messages=4, rows=1_234, seconds=12.4)}, "  lag 1,234 rows, 12 s"),
        ({"idle": 0.5}, ""),
        ({"idle": 12.4}, "  waiting for rows: 12 s"),
        ({"asynchronous": True, "prequential": 0.0}, "  staleness 0.0, 0 at most  tested first 0.00%"),
    ],
)
def test_what_some_runs_tell(changes: dict, says: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    assert shown(replace(STREAM, **changes)).endswith(f"queue 4{says}\n")
    assert says in shown(replace(REPORT, **changes), terminal=True)


def test_drift_alarm():
    drift = Drift(step=40, rows=4_000, before=0.05, after=0.6)
    [line] = shown(replace(STREAM, events=[drift])).splitlines()
    assert {"4,000", "5.00%", "60.00%"} <= set(line.split())


def test_waiting_is_said_once(monkeypatch: pytest.MonkeyPatch):
    output = io.StringIO()
    shows = RunProgress(quiet=False, console=Console(file=output))
    for _ in range(3):
        shows.wait("waiting for Godot")
    assert output.getvalue() == ""
    monkeypatch.setattr(progress, "IDLE_SECONDS", -1)
    for _ in range(3):
        shows.wait("waiting for Godot")
    assert output.getvalue() == "waiting for Godot\n"
