"""What a person sees of a run: a bar in a terminal, lines elsewhere, nothing when quiet."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ddmlp import progress
from ddmlp.job import Report
from ddmlp.progress import RunProgress

REPORT = Report(
    step=30, steps=100, epoch=0, error=0.25, rows_per_second=12_345.6, depth=4, workers=2, events=[], done=False
)
EPOCH = {"event": "epoch", "epoch": 1, "step": 50, "test_error": 0.0187}


def shown(*reports: Report, terminal: bool = False, quiet: bool = False) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, highlight=False, soft_wrap=not terminal)
    with RunProgress(2, quiet=quiet, console=console) as shows:
        for report in reports:
            shows.show(report)
    return output.getvalue()


def test_simple(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    lines = shown(REPORT, replace(REPORT, step=60, epoch=1, events=[EPOCH])).splitlines()
    assert lines[0].startswith("epoch 1/2  step 30/100  loss 0.2500  12,346 rows/s  queue 4  left ")
    assert lines[1] == "epoch 1/2  test error 1.87%"
    assert lines[2].startswith("epoch 2/2  step 60/100")


def test_lines_are_not_printed_for_every_report():
    assert shown(*[REPORT] * 20) == ""


def test_a_terminal_has_a_bar_with_all_of_it():
    screen = shown(REPORT, replace(REPORT, step=60), terminal=True)
    for part in ("epoch 1/2", "━", "step 60/100", "loss 0.2500", "12,346 rows/s", "queue 4"):
        assert part in screen


def test_quiet_shows_nothing():
    assert shown(REPORT, replace(REPORT, events=[EPOCH]), quiet=True) == ""


def test_a_worker_that_dies_and_its_replacement_are_told_of_once():
    said = shown(REPORT, *[replace(REPORT, workers=1)] * 2, REPORT)
    assert said.splitlines() == ["a worker has died: 1 left, who do its work too", "a worker has joined: 2 now"]


def test_a_report_without_rows_has_no_loss(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    assert "loss -  0 rows/s" in shown(replace(REPORT, error=float("nan"), rows_per_second=0.0))
