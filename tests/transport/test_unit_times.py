"""The times of units: sent with each answer if the run has a trace, and otherwise nothing is called, made or sent."""

import struct
import sys
import threading
from collections import Counter

import pytest

from ddmlp.training.messages import UnitTimes
from ddmlp.training.trace import Trace
from ddmlp.transport import protocol
from ddmlp.transport.client import run_worker
from ddmlp.transport.frames import FrameSocket
from ddmlp.transport.unit_times import read_times, send_times
from tests.support.sockets import PLAN, SECONDS, Training, all_kinds, join, listening, plain_kinds, worker
from tests.support.traces import UNIT, events, units

TIMES = 24  # bytes
FILES = ("observe.py", "trace.py", "trace_events.py", "trace_file.py", "trace_text.py", "lanes.py", "unit_times.py")


def is_answer(frame):
    """Whether this is an answer, and not random bytes of a handshake."""
    return frame[:1] == protocol.ANSWER and len(frame) in (protocol.ANSWER_BYTES, protocol.ANSWER_BYTES + TIMES)


def work(address, dataset, index, traced):
    computing, client = worker(dataset), join(address, dataset, index)
    if traced:
        send_times(computing, client, computing.reader)
    return run_worker(computing, client)


@pytest.fixture
def trained(dataset, threads, tmp_path, monkeypatch):
    """Trains for two workers; returns the result, the sizes of the answers, and the calls of the trace's code."""

    def trained(kind, traced):
        sizes, calls = Counter(), Counter()

        def send(self, frame, array=None):
            if is_answer(frame):
                sizes[len(frame)] += 1
            before(self, frame, array)

        def count(frame, event, _argument):
            file = frame.f_code.co_filename
            if event == "call" and file.endswith(FILES) and "/ddmlp/" in file:
                calls[frame.f_code.co_name] += 1

        before = FrameSocket.send
        monkeypatch.setattr(FrameSocket, "send", send)
        with listening(dataset) as pool:
            threading.setprofile(count)  # in the threads of the workers
            working = [threads.submit(work, pool.addresses[kind], dataset, each, traced) for each in range(2)]
            assert pool.gather(2, SECONDS)
            training = Training(pool, 2)
            if traced:
                trace = Trace(tmp_path, 0, workers=2)
                pool.observe(trace)
                trace.follow_server(training.loop._server)
            sys.setprofile(count)
            try:
                found = training.run()
            finally:
                sys.setprofile(None)
                threading.setprofile(None)
            if traced:
                trace._flush()
        assert sum(each.result() for each in working) == sizes.total()
        return found, sizes, calls

    return trained


@all_kinds
def test_simple(trained, tmp_path, expected, kind):
    """All units are in the trace, and the weights are the same."""
    found, sizes, calls = trained(kind, True)
    assert found == expected
    assert {*sizes} == {protocol.ANSWER_BYTES + TIMES}
    assert calls["call"] > 2 * sizes.total()
    seen = events(tmp_path)
    all_units = [
        (step, each.lo, each.hi - each.lo) for step in range(PLAN.steps) for each in PLAN.units_for(step, (1, 1))
    ]
    for name in UNIT:
        assert {*units(seen, name)} == {*all_units}
    assert sorted(units(seen, "added")) == sorted(all_units)
    assert sum(event["dur"] for event in seen if event["name"] == "computed") > 0


@all_kinds
def test_off(trained, tmp_path, expected, kind):
    """Without a trace, no code of it is called in a step, and no byte more is sent."""
    found, sizes, calls = trained(kind, False)
    assert found == expected
    assert {*sizes} == {protocol.ANSWER_BYTES}
    assert calls == {}
    assert [*tmp_path.iterdir()] == []


@plain_kinds
def test_calls(trained, monkeypatch, kind):
    """An answer with times is received by one call, too, as soon as its size is known."""
    calls = Counter()

    def receive(self, usual=0):
        frame = before(self, usual)
        if frame is not None and is_answer(frame):
            calls[usual == len(frame)] += 1
        return frame

    before = FrameSocket.receive
    monkeypatch.setattr(FrameSocket, "receive", receive)
    _, sizes, _ = trained(kind, True)
    assert calls[False] <= 2, "the first answer of each worker"
    assert calls.total() == sizes.total()


def test_off_makes_nothing():
    """The frame of an answer is sent as it is, not copied."""
    frame = bytes(range(100))
    assert frame + b"" is frame


@pytest.mark.parametrize(
    "times", [(2.0, 1.0, 3.0), (1.0, 3.0, 2.0), (-1.0, 2.0, 3.0), (1.0, 2.0, float("inf")), (float("nan"), 1.0, 2.0)]
)
def test_impossible_times(times):
    packed = struct.pack("<ddd", *times)
    with pytest.raises(ValueError, match="times"):
        read_times(packed)


@pytest.mark.parametrize("size", [0, 1, 23, 25, 48])
def test_other_sizes(size):
    with pytest.raises(struct.error):
        read_times(bytes(size))
    assert read_times(bytes(TIMES)) == UnitTimes(0, 0, 0)
