"""metrics.jsonl: events are read back as they were written, and damaged lines are counted."""

import json
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

import ddmlp
from ddmlp.runs.events import Drift, Epoch, Progress, Queue, Queues, Saved, Started, read_event
from ddmlp.runs.json_text import to_json
from ddmlp.runs.lag import Lag
from ddmlp.runs.measures import PrequentialError, Staleness
from ddmlp.runs.records import Records

# Lines of ddmlp 0.1.0.
START = '{"event": "start", "step": 0, "complaints": ["a"]}'
SAVED = f'{{"event": "checkpoint", "step": 4, "seconds": 0.5, "chain": "{"c" * 64}"}}'
TESTED = (
    '{"event": "epoch", "step": 4, "epoch": 1, "test_error": 0.1, "test_cross_entropy": 0.3, "test_rows": 10, '
    '"seconds": 4.0}'
)
PROGRESS = (
    '{"event": "progress", "step": 4, "epoch": 0.5, "rows": 400, "error": 1.5, "mistakes": 0.25, "rows_per_second": '
    '100.0, "seconds": 4.0, "staleness": {"mean": 0.5, "max": 1, "histogram": {"0": 2, "1": 2}}, "workers": 2, '
    '"queues": {"units": {"depth": 1, "high_water": 3, "blocked_seconds": 0.5}, "gradients": {"depth": 2, '
    '"high_water": 4, "blocked_seconds": 0.25}}, "wait_seconds": 3.0, "reissued": 0}'
)
STREAMED = PROGRESS.replace(
    '"rows_per_second"', '"prequential": {"window": 10, "error": 0.5, "overall": 0.75}, "rows_per_second"'
)
LINES = {
    START: Started(0, ["a"]),
    SAVED: Saved(4, 0.5, "c" * 64),
    TESTED: Epoch(step=4, epoch=1, error=0.1, cross_entropy=0.3, rows=10, seconds=4.0),
    PROGRESS: Progress(
        step=4,
        epoch=0.5,
        rows=400,
        error=1.5,
        mistakes=0.25,
        speed=100.0,
        seconds=4.0,
        staleness=Staleness(0.5, 1, {0: 2, 1: 2}),
        workers=2,
        queues=Queues(Queue(1, 3, 0.5), Queue(2, 4, 0.25)),
        waited=3.0,
        reissued=0,
    ),
}
LINES[STREAMED] = replace(LINES[PROGRESS], prequential=PrequentialError(10, 0.5, 0.75))
# Lines of later versions.
DRIFT = '{"event": "drift", "step": 5, "rows": 500, "before": 0.125, "after": 0.5}'
BROKER = STREAMED[:-1] + (
    ', "bad_rows": 2, "trained_to": "2026-11-29T12:03:07.250000Z", "lag": {"messages": 3, "rows": 35, "seconds": 2.5}}'
)
LINES[BROKER] = replace(
    LINES[STREAMED],
    bad_rows=2,
    trained_to=datetime(2026, 11, 29, 12, 3, 7, 250_000, UTC),
    lag=Lag(messages=3, rows=35, seconds=2.5),
)
LINES[DRIFT] = Drift(step=5, rows=500, before=0.125, after=0.5)


def read(path, *lines):
    (path / "metrics.jsonl").write_text("".join(line if line.endswith("\n") else f"{line}\n" for line in lines))
    return Records.read(path / "metrics.jsonl")


def later(step, **what):
    return json.dumps({**json.loads(PROGRESS), "step": step, **what})


def test_simple(tmp_path):
    found = read(tmp_path, *LINES)
    assert found == Records([*LINES.values()])
    assert (found.progress, found.epochs) == ([LINES[PROGRESS], LINES[STREAMED], LINES[BROKER]], [LINES[TESTED]])
    assert found.drifts == [LINES[DRIFT]]
    assert (found.saved, found.started) == ([LINES[SAVED]], [LINES[START]])
    assert (found.progress[0].units, found.progress[0].gradients) == (Queue(1, 3, 0.5), Queue(2, 4, 0.25))


@pytest.mark.parametrize("line", LINES)
def test_same_bytes(line):
    assert to_json(LINES[line]) == line


@pytest.mark.parametrize(
    "line",
    ["{", "[]\n", "1\n", "\n", json.dumps({"event": "progress", "step": 1}), json.dumps({"step": 1}),
     later(5, rows="many"), later(5, staleness={"histogram": [1]}), later("5"), later(None), "[" * 100_000,
     json.dumps({"event": "progress", "step": 1, "queue": {"depth": 0}}), json.dumps({"event": 1, "step": 1})],
)  # fmt: skip
def test_damaged_line(tmp_path, line):
    found = read(tmp_path, PROGRESS, line)
    assert (len(found.progress), len(found.lines), found.damaged) == (1, 1, 1)


def test_unknown_event(tmp_path):
    assert read(tmp_path, '{"event": "news", "step": 3}') == Records([])


def test_unknown_member():
    assert read_event(later(4, later=1)) == LINES[PROGRESS]


def test_not_finite():
    found = read_event(later(4, error=float("nan"), rows_per_second=float("inf")))
    assert (str(found.error), str(found.speed)) == ("nan", "inf")


def test_neighbours(tmp_path):
    found = read(tmp_path, START, later(1), later(2), SAVED, later(3), TESTED, later(4), START, later(5), later(6))
    assert [(before.step, after.step) for before, after in found.neighbours()] == [(1, 2), (5, 6)]


def test_sessions(tmp_path):
    found = read(tmp_path, START, later(1), later(2), SAVED, START, START, later(3), TESTED, SAVED)
    assert [line.step for line in found.sessions()] == [2, 3]
    assert read(tmp_path, START).sessions() == []


def test_staleness(tmp_path):
    assert read(tmp_path, PROGRESS, later(8)).staleness() == {0: 4, 1: 4}


def test_a_run(data, tmp_path):
    run = tmp_path / "run"
    ddmlp.fit(data, run=run, batch=64, hidden=16, epochs=2)
    found, result = Records.read(run / "metrics.jsonl"), json.loads((run / "result.json").read_bytes())
    assert found.damaged == 0
    assert (found.progress[-1].step, found.progress[-1].rows) == (result["steps"], result["rows"])
    assert [test.step for test in found.epochs] == [63, 126]
    assert found.epochs[-1].error == result["test_error"]
    assert [saved.step for saved in found.saved] == [0, 63, 126]
    assert found.progress[-1].seconds == result["train_seconds"] > found.progress[-1].waited > 0
    assert {str(each): count for each, count in found.staleness().items()} == result["staleness"]["histogram"]
