"""Stragglers: when a worker is overdue, compared with the pace of the others, and when it is unresponsive."""

import math

import pytest

from ddmlp.config import Timeouts
from ddmlp.training.stragglers import MAX_REST, MIN_REST, OVERDUE_FACTOR, SMOOTHING, StragglerDetector

FIRST, SHORTEST, HANG = Timeouts().first_unit, Timeouts().overdue, Timeouts().unresponsive


def detector_of(*paces):
    """A detector with one worker per pace, each of which has answered a unit of 3 microbatches at that pace."""
    detector = StragglerDetector(Timeouts())
    for worker, pace in enumerate(paces):
        detector.begin_unit(worker, 0.0)
        detector.end_unit(worker, 3, 3 * pace, idle=True)
    return detector


def test_simple():
    detector = detector_of()
    assert detector.next_deadline({}) == math.inf
    detector.begin_unit(4, 10.0)
    assert detector.next_deadline({4: 1}) == 10.0 + FIRST
    assert detector.mark_overdue({4: 1}, 10.0 + FIRST) == [4]
    assert detector.mark_overdue({4: 1}, 11.0 + FIRST) == [], "it is overdue already"
    assert (detector.overdue, detector.next_deadline({4: 1})) == ({4}, math.inf)
    detector.end_unit(4, 1, 12.0 + FIRST, idle=False)
    assert detector.overdue == {4}, "it still has to answer another unit"
    detector.end_unit(4, 1, 13.0 + FIRST, idle=True)
    assert detector.overdue == set()


@pytest.mark.parametrize(("paces", "usual"), [([2.0], 2.0), ([8.0, 2.0], 2.0), ([8.0, 4.0, 2.0], 4.0)])
def test_overdue_time(paces, usual):
    detector = detector_of(*paces)
    detector.begin_unit(7, 200.0)
    due = 200.0 + OVERDUE_FACTOR * usual * 2
    assert detector.next_deadline({7: 2}) == pytest.approx(due)
    assert detector.mark_overdue({7: 2}, due - 0.01) == []
    assert detector.overdue == set()
    assert detector.mark_overdue({7: 2}, due + 0.01) == [7]
    assert (detector.overdue, detector.next_deadline({7: 2})) == ({7}, math.inf)


def test_late_workers_only():
    detector = detector_of(4.0)
    for worker, begun in [(1, 100.0), (2, 110.0), (3, 100.0)]:
        detector.begin_unit(worker, begun)
    units = {1: 1, 2: 1, 3: 2}
    assert detector.next_deadline(units) == pytest.approx(100.0 + OVERDUE_FACTOR * 4.0)
    assert detector.mark_overdue(units, 121.0) == [1]
    assert detector.next_deadline(units) == pytest.approx(110.0 + OVERDUE_FACTOR * 4.0)


def test_answer_begins_next_unit():
    """A unit has at least the shortest time, however fast the workers are."""
    detector = detector_of()
    detector.begin_unit(0, 10.0)
    detector.end_unit(0, 1, 10.0, idle=False)
    assert detector.next_deadline({0: 1}) == 10.0 + SHORTEST
    detector.end_unit(0, 1, 11.0, idle=True)
    assert detector.next_deadline({}) == math.inf


def test_pace_is_smoothed():
    detector = detector_of()
    for worker, begun, seconds in [(0, 10.0, 1.0), (0, 20.0, 11.0), (1, 40.0, 7.0)]:
        detector.begin_unit(worker, begun)
        detector.end_unit(worker, 1, begun + seconds, idle=True)
    detector.begin_unit(2, 50.0)
    lower = 1.0 + SMOOTHING * 10.0  # the lower of the two paces
    assert detector.next_deadline({2: 1}) == pytest.approx(50.0 + OVERDUE_FACTOR * lower)


def test_dead_workers():
    detector = detector_of(2.0, 7.0)
    detector.begin_unit(2, 50.0)
    for dead in (0, 1):
        detector.remove(dead)
    detector.end_unit(2, 1, 59.0, idle=True)
    detector.begin_unit(2, 60.0)
    assert detector.next_deadline({2: 1}) == pytest.approx(60.0 + OVERDUE_FACTOR * 9.0)


def test_long_first_unit():
    """The limit doubles with each worker that was given up, so that a long first unit does not end every worker."""
    detector = detector_of()
    for worker in range(4):
        detector.begin_unit(worker, 0.0)
        assert detector.next_deadline({worker: 1}) == FIRST * 2**worker
        detector.mark_overdue({worker: 1}, FIRST * 2**worker)
        detector.remove(worker)
    detector.begin_unit(4, 0.0)
    detector.remove(4)
    detector.begin_unit(5, 0.0)
    assert detector.next_deadline({5: 1}) == FIRST * 2**4, "a worker that died before it was late does not count"


@pytest.mark.parametrize("pace", [0.25, 3.0])
def test_unresponsive(pace):
    detector = detector_of(pace)
    detector.begin_unit(7, 10.0)
    longest = max(HANG, OVERDUE_FACTOR * pace)
    for now, hung in [(10.0 + OVERDUE_FACTOR * pace, []), (10.0 + longest, []), (10.0 + longest + 0.1, [7])]:
        detector.mark_overdue({7: 1}, now)
        assert detector.unresponsive({7: 1}) == hung
    detector.end_unit(7, 1, 100.0, idle=False)
    detector.mark_overdue({7: 1}, 100.0 + longest)
    assert detector.unresponsive({7: 1}) == [], "an answer shows that it is alive"
    detector.mark_overdue({7: 1}, 300.0)
    assert detector.unresponsive({7: 1}) == [7]
    detector.remove(7)
    assert detector.unresponsive({}) == [], "a dead worker is not unresponsive"


def test_unread_answer():
    """The server tests the weights for a minute, and does not check for answers in the meantime."""
    detector = detector_of(0.01)
    detector.begin_unit(7, 0.1)
    detector.mark_overdue({7: 1}, 1.0)
    assert detector.overdue == {7}
    assert detector.unresponsive({7: 1}) == []
    detector.mark_overdue({7: 1}, 61.0)
    assert detector.unresponsive({7: 1}) == [7], "it has checked, and there was no answer"


def be_late(detector, worker):
    """Let a worker take a unit, become overdue, and answer."""
    detector.begin_unit(worker, 0.0)
    assert detector.mark_overdue({worker: 1}, 1_000.0) == [worker]
    detector.end_unit(worker, 1, 1_000.0, idle=True)
    assert detector.overdue == set()


def answer(detector, worker, times=1):
    for _ in range(times):
        detector.begin_unit(worker, 0.0)
        detector.end_unit(worker, 1, 1.0, idle=True)


def test_rests():
    """Each rest is twice as long as the previous one, up to a bound; a timely answer halves the next one."""
    detector = detector_of(1.0, 1.0)
    for rest in (0, MIN_REST, 2 * MIN_REST):
        be_late(detector, 7)
        assert detector.resting == ({7: rest} if rest else {})
        for left in reversed(range(rest)):
            answer(detector, left % 2)
            assert detector.resting == ({7: left} if left else {})
    for _ in range(20):
        be_late(detector, 7)
        rest = detector.resting[7]
        answer(detector, 0, rest)
    assert rest == MAX_REST
    assert detector.resting == {}
    for rest in (MAX_REST // 2, MAX_REST // 2):
        answer(detector, 7)
        be_late(detector, 7)
        assert detector.resting == {7: rest}
        answer(detector, 0, rest)
    answer(detector, 7, 20)
    be_late(detector, 7)
    assert detector.resting == {}


@pytest.mark.parametrize("gone", [True, False])
def test_end_of_all_rests(gone):
    """If no other worker answers in time, all rests end and none begins."""
    detector = detector_of(1.0, 1.0)
    for worker in (7, 8, 7, 8):
        be_late(detector, worker)
    assert detector.resting == {7: MIN_REST - 1, 8: MIN_REST}
    detector.remove(8)
    for other in (0, 1):
        assert detector.resting == {7: MIN_REST - 1}
        detector.begin_unit(other, 0.0)
        if gone:
            detector.remove(other)
        else:
            assert detector.mark_overdue({other: 1}, 1_000.0) == [other]
    assert detector.resting == {}
    detector.begin_unit(7, 0.0)
    detector.mark_overdue({7: 1}, 1e6)
    detector.end_unit(7, 1, 1e6, idle=True)
    assert detector.resting == {}
