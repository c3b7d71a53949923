"""The trace: the life of each unit, workers and queues, on the clock of the server."""

from pathlib import Path

import pytest

import ddmlp
from ddmlp.training.messages import UnitTimes
from tests.support.traced import Peer, Traced
from tests.support.traces import UNIT, events, named, units
from tests.support.units import answer, unit


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traced:
    return Traced(tmp_path, monkeypatch)


def test_simple(traced: Traced):
    """A worker on the same machine has the same clock."""
    traced.connections.attend(Peer(1))
    traced.at(101).put(unit(4, microbatches=2))
    traced.at(102).take(1, 102.0)
    gradient = answer(unit(4, microbatches=2), 1)._replace(times=UnitTimes(103, 104, 106))
    assert traced.at(107).accept(gradient, 107.0)
    traced.now = 108
    traced.server.receive(gradient)
    traced.now = 109
    traced.server.apply_step(0, 0.5)
    found = traced.events()
    assert {event["name"] for event in found if event["ph"] == "X"} == {*UNIT, "applied"}
    assert {units(found, name)[0] for name in UNIT} == {(0, 4, 2)}
    spans = {name: traced.span(name) for name in (*UNIT, "applied")}
    assert spans == {
        "queued": (101, 102),
        "taken": (102, 103),
        "read": (103, 104),
        "computed": (104, 106),
        "sent": (106, 107),
        "added": (108, 108),
        "applied": (109, 109),
    }
    lanes = {event["name"]: (event["pid"], event["tid"]) for event in found if event["ph"] in "Xi"}
    assert lanes["joined"] == lanes["read"] == lanes["computed"] == (1, 2)
    assert lanes["start"] == lanes["added"] == lanes["applied"] == (1, 0)
    assert named(found, "start")[0]["args"] == {"step": 7}
    assert named(found, "computed")[0]["args"]["worker"] == 1
    assert named(found, "applied")[0]["args"] == {"step": 0, "version": 1, "read": 0}
    assert named(found, "units")[0]["args"] == {"waiting": 0, "held": 1}
    assert named(found, "gradients")[0]["args"] == {"unread": 3}
    assert {"server", "worker 1"} <= {event["args"]["name"] for event in named(found, "thread_name")}


@pytest.mark.parametrize("ahead", [-90.0, -2.5, 2.5, 1e9])
def test_another_clock(traced: Traced, ahead: float):
    """The times of a worker on another machine are shifted, so that its answer arrived when it was computed."""
    traced.at(101).put(unit(0))
    traced.at(102).take(1, 102.0)
    gradient = answer(unit(0), 1)._replace(times=UnitTimes(103 + ahead, 104 + ahead, 106 + ahead))
    traced.at(107).accept(gradient, 107.0)
    assert [traced.span(name) for name in ("read", "computed", "sent")] == [(104, 105), (105, 107), (107, 107)]


def test_without_times(traced: Traced):
    traced.at(101).put(unit(0))
    traced.at(102).take(1, 102.0)
    traced.at(107).accept(answer(unit(0), 1), 107.0)
    assert [traced.span(name) for name in ("taken", "computed", "sent")] == [(102, 107), (107, 107), (107, 107)]


def test_two_credits(traced: Traced):
    """A worker has its next unit while it computes: the messages of the two are on different tracks."""
    for each in range(6):
        traced.at(101).put(unit(each))
    for worker in (0, 0, 1, 1):
        traced.at(102).take(worker, 102.0)
    for each, worker in enumerate((0, 0, 1, 1)):
        traced.at(103 + each).accept(
            answer(unit(each), worker)._replace(times=UnitTimes(102, 102.5, 103)), 103.0 + each
        )
        traced.queue.take(worker, 103.0 + each)
    found = traced.events()  # which overlap nowhere
    assert len(named(found, "computed")) == 4
    assert len({event["tid"] for event in named(found, "taken")}) == 4
    assert len({event["tid"] for event in named(found, "computed")}) == 2


@pytest.fixture
def overdue(traced: Traced) -> Traced:
    """Worker 0 has unit 0, which was overdue at 160 s, and is in the queue again."""
    queue = traced.at(101)
    for each in range(2):
        queue.put(unit(each))
        queue.take(each, 101.0)
    queue.accept(answer(unit(1), 1), 101.1)
    assert traced.at(160).reissue_overdue(160.0) == [unit(0)]
    return traced


def test_straggler(overdue: Traced):
    """Its unit is computed by another worker, too."""
    queue = overdue.queue
    assert queue.take(1, 160.0) == unit(0)
    assert queue.accept(answer(unit(0), 1), 161.0)
    assert not overdue.at(162).accept(answer(unit(0), 0), 162.0)
    found = overdue.events()
    [seen] = named(found, "overtaken")
    assert (seen["tid"], seen["args"]) == (1, {"step": 0, "first": 0, "count": 1, "worker": 0})
    assert [event["tid"] for event in named(found, "computed")] == [2, 2, 1]
    assert units(found, "queued") == [(0, 1, 1), (0, 0, 1), (0, 0, 1)]


def test_late_answer(overdue: Traced):
    """The straggler answers before another worker has taken its unit again."""
    queue = overdue.queue
    assert queue.accept(answer(unit(0), 0), 161.0)
    queue.put(unit(2))
    assert queue.take(1, 162.0) == unit(2)
    queue.accept(answer(unit(2), 1), 163.0)
    counts = [each["args"] for each in named(overdue.events(), "units")]
    assert counts == [{"waiting": 0, "held": held} for held in (2, 1, 1)]


def test_death(traced: Traced):
    """The units of a dead worker end with it, and its replacement has its lane."""
    peers = [Peer(0), Peer(1)]
    for peer in peers:
        traced.connections.attend(peer)
    queue = traced.at(101)
    queue.put(unit(0))
    queue.take(1, 101.0)
    traced.now = 103.5
    traced.connections.remove(peers[1], "exited", 'its "connection" ended')
    assert queue.remove_worker(1) == [unit(0)]
    traced.connections.attend(Peer(2))
    assert queue.take(2, 104.0) == unit(0)
    queue.accept(answer(unit(0), 2), 104.0)
    found = traced.events()
    [death] = named(found, "death")
    assert death["args"] == {"worker": 1, "cause": "exited", "reason": 'its "connection" ended'}
    assert [event["tid"] for event in named(found, "joined")] == [1, 2, 2]
    assert death["tid"] == named(found, "computed")[0]["tid"] == 2
    assert [event["dur"] for event in named(found, "taken")] == [2_500_000, 0]
    assert named(found, "thread_name")[-1]["args"]["name"] == "worker 2, before: worker 1"


def test_written_at_once(traced: Traced):
    """A worker that joins or dies is in the file at once, with what happened before."""
    traced.at(101).put(unit(0))
    traced.queue.take(0, 101.0)
    traced.queue.accept(answer(unit(0), 0), 101.0)
    assert [each["name"] for each in events(traced.run) if each["ph"] in "Xi"] == ["start"]
    traced.connections.attend(Peer(1))
    assert [each["name"] for each in events(traced.run) if each["ph"] in "Xi"] == [
        *("start", "queued", "taken", "read", "computed", "sent", "joined"),
    ]
    traced.connections.remove(Peer(1), "exited", "it ended")
    assert events(traced.run)[-1]["name"] == "death"


def test_bounded(traced: Traced, monkeypatch: pytest.MonkeyPatch):
    """The steps between two reports are written, too, if they are many."""
    monkeypatch.setattr("ddmlp.training.trace.MAX_RECORDS", 10)
    for step in range(25):
        traced.server.apply_step(step, 0.5)
        assert len(traced.trace._records) <= 10
    assert len(named(events(traced.run), "applied")) == 22
    assert len(named(traced.events(), "applied")) == 25


def test_one_process(data: Path, tmp_path: Path):
    """Stretches of steps, tests and checkpoints; the weights are those of a run without a trace."""
    settings = {"hidden": 8, "epochs": 2, "batch": 100, "progress": False}
    plain = ddmlp.fit(data, run=tmp_path / "plain", **settings)
    assert not (tmp_path / "plain" / "trace.json").exists()
    part = ddmlp.fit(data, run=tmp_path / "run", trace=True, stop_after=50, checkpoint_every=20, **settings)
    found = ddmlp.resume(part.run, trace=True, progress=False)
    assert found.weights_sha256 == plain.weights_sha256
    seen = events(found.run)
    stretches = [(event["args"]["step"], event["args"]["count"]) for event in named(seen, "steps")]
    assert [step for begin, count in stretches for step in range(begin, begin + count)] == [*range(80)]
    assert [(event["name"], event["args"]) for event in seen if event["ph"] == "i"] == [
        ("start", {"step": 0}),
        ("restart", {"step": 50}),
    ]
    assert len(named(seen, "test")) == 2
    assert len(named(seen, "checkpoint")) >= 5
