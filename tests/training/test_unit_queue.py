"""The queue of units: its bound and credits, who is late, and that every unit counts once, whoever answers it."""

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ddmlp.config import Timeouts
from ddmlp.errors import TrainingError
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import CREDITS, Gradient, Unit
from ddmlp.training.stragglers import SLOWER, SMOOTHING
from ddmlp.training.unit_queue import UnitQueue

FIRST, SHORTEST, HANG = Timeouts().first_unit, Timeouts().overdue, Timeouts().unresponsive


def unit(index, step=0, microbatches=1):
    return Unit(step, step, Node(index, index + microbatches))


def queue_of(count):
    queue = UnitQueue(count)
    for index in range(count):
        queue.put(unit(index))
    return queue


def take_all(queue, worker, now=0.0):
    return list(iter(lambda: queue.take(worker, now), None))


def answer(unit, worker=0):
    """The same of every worker, and another for every unit."""
    flat = np.array([unit.step, unit.node.lo, unit.node.hi], np.float32)
    return Gradient(unit, flat, RowStats(unit.microbatches, unit.node.lo, 0.5, 1), worker)


def shared():
    """Worker 0 holds units 0 and 1 and is overdue, and worker 1 holds them too; the time is FIRST."""
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


def test_a_full_queue_takes_no_more_until_an_answer_comes():
    queue = queue_of(2)
    assert queue.full
    with pytest.raises(AssertionError, match="2 units are open, of 2 at most"):
        queue.put(unit(9))
    assert queue.take(0) == unit(0)
    assert queue.full, "a unit that a worker holds is on the books"
    assert queue.accept(answer(unit(0)))
    assert not queue.full
    queue.put(unit(9))
    assert take_all(queue, 1) == [unit(1), unit(9)]


def test_units_of_a_lost_worker_come_next_in_their_order_however_often():
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


@pytest.mark.parametrize(("paces", "usual"), [([2.0], 2.0), ([8.0, 2.0], 2.0), ([8.0, 4.0, 2.0], 4.0)])
def test_a_worker_is_overdue_after_some_times_the_usual_for_the_microbatches_of_its_unit(paces, usual):
    queue = UnitQueue(9)
    for worker, pace in enumerate(paces):
        queue.put(unit(worker, microbatches=3))
        queue.take(worker, 100.0)
        queue.accept(answer(unit(worker, microbatches=3), worker), 100.0 + 3 * pace)
    late = unit(0, step=1, microbatches=2)
    queue.put(late)
    queue.take(7, 200.0)
    due = 200.0 + SLOWER * usual * 2
    assert queue.next_deadline() == pytest.approx(due)
    assert queue.reissue_overdue(due - 0.01) == []
    assert queue.overdue == 0
    assert queue.reissue_overdue(due + 0.01) == [late]
    assert (queue.overdue, queue.next_deadline()) == (1, math.inf)


def test_an_overdue_worker_gets_nothing_more_until_it_has_answered_everything():
    queue = queue_of(4)
    take_all(queue, 0)
    assert queue.reissue_overdue(FIRST) == [unit(0), unit(1)]
    assert queue.reissue_overdue(2 * FIRST) == [], "they wait already"
    for index in range(2):
        assert (queue.credit(0), queue.take(0, FIRST)) == (0, None)
        assert queue.accept(answer(unit(index)), 2 * FIRST), "nobody else has taken it, so this is the first"
    assert (queue.overdue, queue.credit(0)) == (0, CREDITS)
    assert take_all(queue, 0, 2 * FIRST) == [unit(2), unit(3)]


def test_of_two_answers_the_first_counts_and_the_second_is_compared():
    queue = shared()
    assert queue.reissued == 2
    assert queue.accept(answer(unit(0), worker=1), FIRST)
    assert queue.accept(answer(unit(0), worker=0), FIRST) is False
    assert queue.accept(answer(unit(1), worker=0), FIRST), "the overdue worker may be the first"
    assert queue.accept(answer(unit(1), worker=1), FIRST) is False
    assert (queue.compared, queue.depth, queue.overdue) == (2, 0, 0)


def test_a_third_answer_is_compared_with_the_first_too():
    queue = shared()
    queue.reissue_overdue(2 * FIRST)
    assert take_all(queue, 2) == [unit(0), unit(1)]
    assert [queue.accept(answer(unit(0), worker), 2 * FIRST) for worker in (1, 2)] == [True, False]
    wrong = answer(unit(0), worker=0)._replace(flat=np.zeros(3, np.float32))
    with pytest.raises(TrainingError, match="workers 1 and 0 computed different gradients"):
        queue.accept(wrong, 2 * FIRST)


@pytest.mark.parametrize(
    "wrong",
    [
        {"flat": np.nextafter(answer(unit(0)).flat, np.float32(9))},
        {"row_stats": RowStats(2, 0, 0.5, 1)},
        {"row_stats": RowStats(1, 1, 0.5, 1)},
        {"row_stats": RowStats(1, 0, math.nextafter(0.5, 1), 1)},
        {"row_stats": RowStats(1, 0, 0.5, 2)},
    ],
    ids=["gradient", "rows", "fingerprints", "error", "mistakes"],
)
def test_answers_that_differ_in_a_bit_name_both_workers_and_the_unit(wrong):
    queue = shared()
    queue.accept(answer(unit(0), worker=1), FIRST)
    with pytest.raises(TrainingError) as caught:
        queue.accept(answer(unit(0), worker=0)._replace(**wrong), FIRST)
    assert str(caught.value).startswith(
        "workers 1 and 0 computed different gradients of step 0, microbatches 0 to 0, from the same rows and weights"
    )
    assert queue.compared == 0


def test_what_others_hold_or_have_answered_does_not_come_back_from_the_dead():
    queue = shared()
    queue.accept(answer(unit(0), worker=1), FIRST)
    assert queue.remove_worker(0) == []
    assert queue.take(2, FIRST) is None
    assert queue.remove_worker(1) == [unit(1)], "worker 1 was the last to hold it"


def test_what_is_answered_already_is_not_given_out_again():
    queue = shared()
    queue.accept(answer(unit(0), worker=0), FIRST)
    assert queue.reissue_overdue(9 * FIRST) == [unit(1)], "worker 1 is overdue with both"


def test_the_time_for_the_next_unit_begins_with_an_answer_and_is_never_too_short():
    queue = queue_of(3)
    assert queue.next_deadline() == math.inf
    assert [queue.take(0, now) for now in (10.0, 12.0)] == [unit(0), unit(1)]
    assert queue.next_deadline() == 10.0 + FIRST
    queue.accept(answer(unit(0)), 10.0)
    assert queue.next_deadline() == 10.0 + SHORTEST
    queue.accept(answer(unit(1)), 11.0)
    assert queue.next_deadline() == math.inf


def test_the_usual_is_smoothed_and_forgets_the_dead():
    queue = queue_of(4)
    for worker, now, seconds in ((0, 10.0, 1.0), (0, 20.0, 11.0), (1, 40.0, 7.0)):
        taken = queue.take(worker, now)
        queue.accept(answer(taken, worker), now + seconds)
    queue.take(2, 50.0)
    assert queue.next_deadline() == pytest.approx(50.0 + SLOWER * (1.0 + SMOOTHING * 10.0)), "the lower of two"
    for dead in (0, 1):
        queue.remove_worker(dead)
    queue.accept(answer(unit(3), worker=2), 59.0)
    queue.put(unit(4))
    queue.take(2, 60.0)
    assert queue.next_deadline() == pytest.approx(60.0 + SLOWER * 9.0)


def test_the_first_unit_may_take_twice_as_long_after_each_worker_that_was_given_up_for_it():
    """Perhaps it is the unit, and then nobody must be given up for ever."""
    queue = queue_of(1)
    for worker in range(4):
        queue.take(worker, 0.0)
        assert queue.next_deadline() == FIRST * 2**worker
        queue.reissue_overdue(queue.next_deadline())
        queue.remove_worker(worker)
    queue.take(4, 0.0)
    queue.remove_worker(4)
    queue.take(5, 0.0)
    assert queue.next_deadline() == FIRST * 2**4, "who died before it was late says nothing"


@pytest.mark.parametrize("pace", [0.25, 3.0])
def test_a_worker_hangs_that_is_overdue_and_has_been_silent_for_long(pace):
    queue = queue_of(3)
    queue.take(1)
    queue.accept(answer(unit(0), worker=1), pace)
    take_all(queue, 0, 10.0)
    longest = max(HANG, SLOWER * pace)
    for now, hung in [(10.0 + SLOWER * pace, []), (10.0 + longest, []), (10.0 + longest + 0.1, [0])]:
        queue.reissue_overdue(now)
        assert queue.unresponsive() == hung
    queue.accept(answer(unit(1), worker=0), 100.0)
    queue.reissue_overdue(100.0 + longest)
    assert queue.unresponsive() == [], "an answer is a sign of life"
    queue.reissue_overdue(200.0)
    assert queue.unresponsive() == [0]
    assert queue.remove_worker(0) == []
    assert queue.unresponsive() == [], "and the dead do not hang"


def test_a_worker_whose_answer_lies_unread_does_not_hang():
    queue = queue_of(2)
    queue.take(1)
    queue.accept(answer(unit(0), worker=1), 0.01)
    queue.take(0, 0.1)
    queue.reissue_overdue(1.0)
    assert queue.overdue == 1
    # The server tests the weights for a minute, and has not looked for answers since.
    assert queue.unresponsive() == []
    queue.reissue_overdue(61.0)
    assert queue.unresponsive() == [0], "it has looked, and there was none"


def test_the_versions_in_use_are_those_asked_for_and_those_still_held():
    queue = UnitQueue(2)
    queue.put(unit(0, step=4))
    queue.take(3)
    queue.reissue_overdue(FIRST)
    queue.take(2, FIRST)
    queue.accept(answer(unit(0, step=4), worker=2), FIRST)
    queue.put(unit(0, step=5))
    assert queue.versions_in_use() == {4, 5}
    queue.take(1, FIRST)
    assert queue.furthest_behind() == 3
    queue.accept(answer(unit(0, step=4), worker=3), FIRST)
    assert (queue.versions_in_use(), queue.furthest_behind()) == ({5}, 1)


class Script(RuleBasedStateMachine):
    """Any order of events: the first answer to a unit counts, and until then it waits or is held."""

    capacity, workers = 7, st.integers(0, 3)

    def __init__(self):
        super().__init__()
        self.queue, self.now = UnitQueue(self.capacity), 0.0
        self.units, self.waiting, self.done, self.compared = [], [], [], 0
        self.held = {worker: [] for worker in range(4)}
        self.since, self.overdue, self.reissued = {}, set(), 0

    def open(self, units):
        return {each for each in units if each not in self.done}

    def all_held(self):
        return [each for held in self.held.values() for each in held]

    def held_on_time(self):
        return [each for worker, held in self.held.items() if worker not in self.overdue for each in held]

    @precondition(lambda self: not self.queue.full)
    @rule(count=st.integers(1, 3))
    def put(self, count):
        for _ in range(min(count, self.capacity - self.queue.depth)):
            self.units.append(unit(len(self.units), step=len(self.units) // 3))
            self.waiting.append(self.units[-1])
            self.queue.put(self.units[-1])

    @rule(worker=workers)
    def take(self, worker):
        while self.waiting and len(self.held[worker]) < CREDITS and worker not in self.overdue:
            taken = self.waiting.pop(0)
            self.reissued += taken in self.all_held()
            assert taken not in self.held[worker]
            if not self.held[worker]:
                self.since[worker] = self.now
            self.held[worker].append(taken)
            assert self.queue.take(worker, self.now) == taken
        assert self.queue.take(worker, self.now) is None

    @precondition(lambda self: self.all_held())
    @rule(data=st.data())
    def answer(self, data):
        self.answer_of(data.draw(st.sampled_from([worker for worker, held in self.held.items() if held])))

    def answer_of(self, worker):
        unit = self.held[worker].pop(0)
        first = unit not in self.done
        assert self.queue.accept(answer(unit, worker), self.now) is first
        self.since[worker] = self.now
        if not self.held[worker]:
            self.overdue.discard(worker)
        if first:
            self.done.append(unit)
            self.waiting = [other for other in self.waiting if other != unit]
        else:
            self.compared += 1

    @rule(worker=workers)
    def die(self, worker):
        mine = self.open(self.held[worker])
        self.held[worker] = []
        self.overdue.discard(worker)
        lost = self.queue.remove_worker(worker)
        assert lost == sorted(mine.difference(self.waiting, self.held_on_time()))
        self.waiting = lost + self.waiting

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.5, 70.0, None]))
    def time_passes(self, seconds):
        """So many seconds, or until somebody is due. Units have one microbatch: who is late is who began first."""
        queue = self.queue
        self.now = max(self.now, min(queue.next_deadline(), 1e9)) if seconds is None else self.now + seconds
        on_time = sorted((self.since[w], w) for w, held in self.held.items() if held and w not in self.overdue)
        anybody = self.now >= queue.next_deadline()
        again = queue.reissue_overdue(self.now)
        late = queue.overdue - len(self.overdue)
        assert (late > 0) is anybody
        assert queue.next_deadline() > self.now
        assert all(one < other for one, _ in on_time[:late] for other, _ in on_time[late:])
        self.overdue |= {worker for _, worker in on_time[:late]}
        held = [each for _, worker in on_time[:late] for each in self.held[worker]]
        assert again == sorted(self.open(held).difference(self.waiting))
        self.waiting = again + self.waiting

    @invariant()
    def the_books_are_right(self):
        queue, due = self.queue, self.open(self.units)
        assert due == self.open([*self.waiting, *self.held_on_time()]), "each open unit waits, or is with one on time"
        assert queue.reissued == self.reissued
        assert queue.depth == len(due) <= queue.high_water <= self.capacity
        assert (queue.compared, queue.overdue) == (self.compared, len(self.overdue))
        assert queue.versions_in_use() == {each.version for each in [*due, *self.all_held()]}
        for worker, held in self.held.items():
            assert queue.credit(worker) == (0 if worker in self.overdue else CREDITS - len(held))
            assert queue.current_unit(worker) == (held[0] if held else None)
        if self.all_held():
            late = [each for each in self.all_held() if each in self.done]
            oldest = min(each.version for each in late or self.all_held())
            assert oldest in {each.version for each in self.held[queue.furthest_behind()]}
        hung = queue.unresponsive()
        assert set(hung) <= {worker for worker in self.overdue if self.now > self.since[worker] + HANG}

    def teardown(self):
        """Who holds units answers them, and a new worker what is left: everything has counted once."""
        for worker, held in self.held.items():
            while held:
                self.answer_of(worker)
        while (taken := self.queue.take(9, self.now)) is not None:
            assert self.queue.accept(answer(taken, worker=9), self.now)
            self.done.append(taken)
        assert sorted(self.done) == self.units
        assert (self.queue.depth, self.queue.versions_in_use()) == (0, set())


Script.TestCase.settings = settings(stateful_step_count=40)
test_any_order_of_events = Script.TestCase
