"""The queue of units: its bound, its credits, and that every unit counts once."""

import math

import numpy as np
import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import TrainingError
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import CREDITS
from ddmlp.training.stragglers import MIN_REST, OVERDUE_FACTOR
from ddmlp.training.unit_queue import UnitQueue
from tests.support.units import answer, unit

FIRST, HANG = Timeouts().first_unit, Timeouts().unresponsive


def queue_of(count):
    queue = UnitQueue(count)
    for index in range(count):
        queue.put(unit(index))
    return queue


def take_all(queue, worker, now=0.0):
    return list(iter(lambda: queue.take(worker, now), None))


def shared():
    """A queue at the time FIRST: worker 0 is overdue with units 0 and 1, and worker 1 holds them, too."""
    queue = queue_of(2)
    take_all(queue, 0)
    queue.reissue_overdue(FIRST)
    assert take_all(queue, 1, FIRST) == [unit(0), unit(1)]
    return queue


def test_simple():
    queue = UnitQueue(3)
    assert queue.take(0) is None
    queue.put(unit(0))
    assert queue.take(0) == queue.current_unit(0) == unit(0)
    assert queue.accept(answer(unit(0)))
    assert queue.current_unit(0) is None
    assert (queue.depth, queue.high_water, queue.reissued, queue.compared) == (0, 1, 0, 0)


def test_full_queue():
    queue = queue_of(2)
    assert queue.full
    with pytest.raises(AssertionError, match=r"^2 units are open.* 2 "):
        queue.put(unit(9))
    assert queue.take(0) == unit(0)
    assert queue.full, "a unit that a worker holds is open"
    assert queue.accept(answer(unit(0)))
    assert not queue.full
    queue.put(unit(9))
    assert take_all(queue, 1) == [unit(1), unit(9)]


def test_units_of_a_lost_worker():
    """The units of a lost worker come next, in order, and as often as workers are lost."""
    queue = UnitQueue(4)
    units = [unit(5, step=1), unit(0, step=2), unit(1, step=2), unit(2, step=2)]
    for each in units:
        queue.put(each)
    assert [queue.take(worker) for worker in (0, 1, 0)] == units[:3]
    assert queue.remove_worker(0) == [units[0], units[2]]
    assert (queue.credit(0), queue.depth) == (CREDITS, 4)
    assert queue.remove_worker(0) == []
    assert take_all(queue, 2) == [units[0], units[2]]
    assert queue.remove_worker(2) == [units[0], units[2]]
    assert [queue.take(worker) for worker in (3, 3, 4)] == [units[0], units[2], units[3]]


def test_overdue_unit():
    queue = UnitQueue(9)
    queue.put(unit(0, microbatches=3))
    queue.take(0, 100.0)
    queue.accept(answer(unit(0, microbatches=3)), 106.0)
    late = unit(0, step=1, microbatches=2)
    queue.put(late)
    queue.take(7, 200.0)
    due = 200.0 + OVERDUE_FACTOR * 2.0 * 2
    assert queue.next_deadline() == pytest.approx(due)
    assert (queue.reissue_overdue(due - 0.01), queue.overdue) == ([], 0)
    assert (queue.reissue_overdue(due + 0.01), queue.overdue) == ([late], 1)
    assert queue.next_deadline() == math.inf
    queue.reissue_overdue(max(due, 200.0 + HANG) + 0.1)
    assert queue.unresponsive() == [7]


def test_overdue_worker():
    """An overdue worker gets no units until it has answered all that it holds."""
    queue = queue_of(4)
    take_all(queue, 0)
    assert queue.reissue_overdue(FIRST) == [unit(0), unit(1)]
    assert queue.reissue_overdue(2 * FIRST) == [], "they are waiting already"
    for index in range(2):
        assert (queue.credit(0), queue.take(0, FIRST)) == (0, None)
        assert queue.accept(answer(unit(index)), 2 * FIRST), "no other worker has taken it, so this is the first answer"
    assert (queue.overdue, queue.credit(0)) == (0, CREDITS)
    assert take_all(queue, 0, 2 * FIRST) == [unit(2), unit(3)]


def test_resting_worker():
    """A resting worker gets no units until others have answered often enough."""
    queue = queue_of(3 + MIN_REST)
    assert queue.accept(answer(queue.take(1), worker=1), 1.0)
    for _ in range(2):
        late = queue.take(0, 1.0)
        assert queue.reissue_overdue(FIRST) == [late]
        assert queue.accept(answer(late, worker=0), FIRST)
    for _ in range(MIN_REST):
        assert (queue.credit(0), queue.take(0, FIRST), [*queue.resting]) == (0, None, [0])
        assert queue.accept(answer(queue.take(1, FIRST), worker=1), FIRST)
    assert (queue.credit(0), [*queue.resting], queue.depth) == (CREDITS, [], 0)


def test_second_answer():
    queue = shared()
    assert queue.reissued == 2
    assert queue.accept(answer(unit(0), worker=1), FIRST)
    assert queue.accept(answer(unit(0), worker=0), FIRST) is False
    assert queue.accept(answer(unit(1), worker=0), FIRST), "the overdue worker may be the first to answer"
    assert queue.accept(answer(unit(1), worker=1), FIRST) is False
    assert (queue.compared, queue.depth, queue.overdue) == (2, 0, 0)


def test_third_answer():
    queue = shared()
    queue.reissue_overdue(2 * FIRST)
    assert take_all(queue, 2) == [unit(0), unit(1)]
    assert [queue.accept(answer(unit(0), worker), 2 * FIRST) for worker in (1, 2)] == [True, False]
    wrong = answer(unit(0), worker=0)._replace(flat=np.zeros(3, np.float32))
    with pytest.raises(TrainingError, match="workers 1 and 0 "):
        queue.accept(wrong, 2 * FIRST)


@pytest.mark.parametrize(
    "wrong",
    [
        {"flat": np.nextafter(answer(unit(0)).flat, np.float32(9))},
        {"row_stats": RowStats(2, 0, 0.5, 1, 1.0)},
        {"row_stats": RowStats(1, 1, 0.5, 1, 1.0)},
        {"row_stats": RowStats(1, 0, math.nextafter(0.5, 1), 1, 1.0)},
        {"row_stats": RowStats(1, 0, 0.5, 2, 1.0)},
        {"row_stats": RowStats(1, 0, 0.5, 1, math.nextafter(1, 2))},
    ],
    ids=["gradient", "rows", "fingerprints", "error", "mistakes", "steepest"],
)
def test_answers_differ(wrong):
    """If one bit differs, the error names both workers and the unit."""
    queue = shared()
    queue.accept(answer(unit(0), worker=1), FIRST)
    with pytest.raises(TrainingError, match=r"workers 1 and 0 .* step 0, microbatches 0 to 0\b"):
        queue.accept(answer(unit(0), worker=0)._replace(**wrong), FIRST)
    assert queue.compared == 0


def test_units_held_by_others():
    """Units that others hold, and answered units, do not return to the queue."""
    queue = shared()
    queue.accept(answer(unit(0), worker=1), FIRST)
    assert queue.remove_worker(0) == []
    assert queue.take(2, FIRST) is None
    assert queue.remove_worker(1) == [unit(1)], "worker 1 was the last to hold it"


def test_answered_units():
    queue = shared()
    queue.accept(answer(unit(0), worker=0), FIRST)
    assert queue.reissue_overdue(9 * FIRST) == [unit(1)], "worker 1 is overdue with both units"


def test_versions_in_use():
    """The versions in use are those of open units, and of units that workers still hold."""
    queue = UnitQueue(2)
    queue.put(unit(0, step=4))
    queue.take(3)
    queue.reissue_overdue(FIRST)
    queue.take(2, FIRST)
    queue.accept(answer(unit(0, step=4), worker=2), FIRST)
    queue.put(unit(0, step=5))
    assert queue.versions_in_use() == {4, 5}
    queue.accept(answer(unit(0, step=4), worker=3), FIRST)
    assert queue.versions_in_use() == {5}


def test_late_answer_given_up():
    """The version of a late answer that was given up may be overwritten, so the answer is not compared.

    Afterwards, the worker is treated as any other.
    """
    queue = shared()
    for each in (unit(0), unit(1)):
        queue.accept(answer(each, worker=1), FIRST)
    assert queue.versions_in_use() == {0}
    assert queue.give_up_oldest() == 0
    assert queue.versions_in_use() == set()
    assert (queue.overdue, queue.credit(0)) == (1, 0), "it still has to answer"
    wrong = answer(unit(0), worker=0)._replace(flat=np.zeros(3, np.float32))
    assert queue.accept(wrong, FIRST) is False
    assert queue.accept(answer(unit(1), worker=0), FIRST) is False
    assert (queue.compared, queue.overdue, queue.credit(0)) == (0, 0, CREDITS)
