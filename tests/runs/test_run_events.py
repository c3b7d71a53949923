"""metrics.jsonl: events are appended, and a start drops later events and damaged lines."""

import json
import tracemalloc

import pytest

from ddmlp.runs.events import Saved, Started
from ddmlp.runs.run import Run
from tests.support.events import progress
from tests.support.helpers import plain


def events(run: Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def start(step: int) -> Started:
    return Started(step, [])


def test_append(run):
    run.record([start(0), progress(1)])
    run.record([])
    run.record([Saved(1, 0.5, "c")])
    assert [event["event"] for event in events(run)] == ["start", "progress", "checkpoint"]


def test_no_events(run):
    run.record([])
    assert not (run.path / "metrics.jsonl").exists()


def test_start_drops_later_events(run):
    run.record(progress(step) for step in (1, 2, 3, 3, 4))
    run.record([start(3), progress(4)])
    assert [event["step"] for event in events(run)] == [1, 2, 3, 3, 3, 4]
    run.record([start(0)])
    assert events(run) == [plain(start(0))]


def test_start_in_a_batch(run):
    run.record([progress(1), progress(2), start(1), start(1)])
    assert events(run) == plain([progress(1), start(1), start(1)])


@pytest.mark.parametrize("cut", ['{"event": "prog', '{"event": "progress", "step": 2}', "{", '{"step": 1'])
def test_start_drops_cut_line(run, cut):
    run.record([progress(1)])
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(cut)
    run.record([start(5)])
    assert events(run) == plain([progress(1), start(5)])


def test_first_start(run):
    run.record([start(5)])
    assert events(run) == [plain(start(5))]


@pytest.mark.parametrize(
    "line",
    [
        b"\0\0\0\0\n",
        b"nonsense\n",
        b"[]\n",
        b"7\n",
        b'{"event": "progress"}\n',
        b'{"event": "progress", "step": "1"}\n',
        b'{"event": "progress", "step": null}\n',
        b'{"event": "progress", "step": true}\n',
        b'{"event": "progress", "step": NaN}\n',
        b'{"event": "progress", "st{"event": "progress", "step": 1}\n',
        b"\xff\n",
        b"\n",
        pytest.param(b"[" * 100_000 + b"\n", id="deep"),
    ],
)
def test_start_drops_damage(run, line):
    path = run.path / "metrics.jsonl"
    first, second = b'{"event": "progress", "step": 1}\n', b'{"event": "epoch", "step": 5}\n'
    path.write_bytes(line + first + line + line + second + line)
    run.record([start(5)])
    assert path.read_bytes() == first + second + b'{"event": "start", "step": 5, "complaints": []}' + b"\n"


def test_start_reads_by_lines(run):
    """The file of a long run is larger than the memory that a restart of its server may take."""
    path, line = run.path / "metrics.jsonl", b'{"event": "progress", "step": 1, "more": "%s"}\n' % (b" " * 100_000)
    path.write_bytes(line * 20)
    run.record([start(5)])
    tracemalloc.start()
    try:
        run.record([start(5)])
        assert tracemalloc.get_traced_memory()[1] < 5 * len(line)
    finally:
        tracemalloc.stop()
    assert len(events(run)) == 22
