"""metrics.jsonl is read back as it was written, and what cannot be read is counted."""

import json
from collections import Counter

import pytest

from ddmlp.cli import train
from ddmlp.runs.events import Epoch, Progress, Records, Saved, Started
from tests.support.helpers import inside

PROGRESS = {
    "event": "progress", "step": 4, "epoch": 0.5, "rows": 400, "error": 1.5, "mistakes": 0.25, "rows_per_second": 100.0,
    "seconds": 4.0, "staleness": {"mean": 0.5, "max": 1, "histogram": {"0": 2, "1": 2}}, "workers": 2,
    "queues": {"units": {"depth": 1, "high_water": 3, "blocked_seconds": 0.5},
               "gradients": {"depth": 2, "high_water": 4, "blocked_seconds": 0.25}},
    "wait_seconds": 3.0, "reissued": 0,
}  # fmt: skip
START = {"event": "start", "step": 0, "complaints": []}
SAVED = {"event": "checkpoint", "step": 4, "seconds": 0.5, "chain": "c"}
TESTED = {"event": "epoch", "step": 4, "epoch": 1, "test_error": 0.1, "test_cross_entropy": 0.3, "test_rows": 10}


def read(path, *events):
    (path / "metrics.jsonl").write_text(
        "".join(event if type(event) is str else json.dumps(event) + "\n" for event in events)
    )
    return Records.read(path / "metrics.jsonl")


def later(step, **what):
    return {**PROGRESS, "step": step, **what}


def test_simple(tmp_path):
    found = read(tmp_path, START, PROGRESS, TESTED, SAVED)
    progress = Progress(4, 400, 1.5, 0.25, 100.0, 4.0, 2, 3.0, (1, 3, 0.5), (2, 4, 0.25), Counter({0: 2, 1: 2}), None)
    assert found == Records([Started(0, []), progress, Epoch(4, 0.1, 0.3), Saved(4, 0.5)])
    assert (found.progress, found.epochs) == ([progress], [Epoch(4, 0.1, 0.3)])
    assert (found.saved, found.started) == ([Saved(4, 0.5)], [Started(0, [])])


def test_a_stream_has_a_prequential_error(tmp_path):
    (line,) = read(tmp_path, later(4, prequential={"window": 10, "error": 0.5, "overall": 0.75})).progress
    assert line.prequential == 0.5


@pytest.mark.parametrize(
    "line",
    ["{", "[]\n", "1\n", "\n", json.dumps({"event": "progress", "step": 1}) + "\n", json.dumps({"step": 1}) + "\n",
     json.dumps(later(5, rows="many")) + "\n", json.dumps(later(5, staleness={"histogram": [1]})) + "\n",
     json.dumps({"event": "progress", "step": 1, "queue": {"depth": 0}}) + "\n", "[" * 100_000 + "\n"],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_counted(tmp_path, line):
    found = read(tmp_path, PROGRESS, line)
    assert (len(found.progress), len(found.lines), found.damaged) == (1, 1, 1)


def test_an_event_that_is_not_known_is_passed_over(tmp_path):
    assert read(tmp_path, {"event": "news", "step": 3}) == Records([])


def test_neighbours_have_nothing_between(tmp_path):
    found = read(tmp_path, START, later(1), later(2), SAVED, later(3), TESTED, later(4), START, later(5), later(6))
    assert [(before.step, after.step) for before, after in found.neighbours()] == [(1, 2), (5, 6)]


def test_a_sitting_is_what_lies_between_starts(tmp_path):
    found = read(tmp_path, START, later(1), later(2), SAVED, START, START, later(3), TESTED, SAVED)
    assert [line.step for line in found.sittings()] == [2, 3]
    assert read(tmp_path, START).sittings() == []


def test_staleness_is_that_of_all_steps(tmp_path):
    assert read(tmp_path, PROGRESS, later(8)).staleness() == {0: 4, 1: 4}


def test_what_a_run_has_written_is_read(data, tmp_path):
    run = tmp_path / "run"
    inside(train.main, "--data", data, "--run", run, "--hidden", "16", "--epochs", "2", "--no-report")
    found, result = Records.read(run / "metrics.jsonl"), json.loads((run / "result.json").read_bytes())
    assert found.damaged == 0
    assert (found.progress[-1].step, found.progress[-1].rows) == (result["steps"], result["rows"])
    assert [test.step for test in found.epochs] == [63, 126]
    assert found.epochs[-1].error == result["test_error"]
    assert [saved.step for saved in found.saved] == [0, 63, 126]
    assert found.progress[-1].seconds == result["train_seconds"] > found.progress[-1].waited > 0
    assert {str(each): count for each, count in found.staleness().items()} == result["staleness"]["histogram"]
