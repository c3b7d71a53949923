"""The queue of units: its bound, its credits, and that no unit is lost or answered twice."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ddmlp.plan import Node
from ddmlp.queues import CREDITS, Unit, UnitQueue


def unit(index, step=0):
    return Unit(step, step, Node(index, index + 1))


def queue_of(count):
    queue = UnitQueue(count)
    for index in range(count):
        queue.put(unit(index))
    return queue


def take_all(queue, worker):
    return list(iter(lambda: queue.take(worker), None))


def test_simple():
    queue = UnitQueue(3)
    assert queue.take(0) is None
    queue.put(unit(0))
    assert queue.take(0) == unit(0)
    assert queue.answered(unit(0))
    assert (queue.depth, queue.high_water) == (0, 1)


def test_a_full_queue_takes_no_more_until_an_answer_comes():
    queue = queue_of(2)
    assert queue.full
    with pytest.raises(AssertionError, match="2 units on the books, of 2 at most"):
        queue.put(unit(9))
    assert queue.take(0) == unit(0)
    assert queue.full, "a unit that a worker holds is on the books"
    assert queue.answered(unit(0))
    assert not queue.full
    queue.put(unit(9))
    assert take_all(queue, 1) == [unit(1), unit(9)]


def test_a_worker_holds_no_more_than_its_credits():
    queue = queue_of(3 * CREDITS)
    assert queue.credit(0) == CREDITS
    assert take_all(queue, 0) == [unit(index) for index in range(CREDITS)]
    assert (queue.credit(0), queue.credit(1)) == (0, CREDITS)
    assert take_all(queue, 1) == [unit(index) for index in range(CREDITS, 2 * CREDITS)]
    assert queue.answered(unit(0))
    assert queue.credit(0) == 1
    assert take_all(queue, 0) == [unit(2 * CREDITS)]


def test_units_of_a_lost_worker_come_next_in_their_order():
    queue = queue_of(6)
    held = [queue.take(worker) for worker in (0, 1, 0, 1)]
    assert held == [unit(index) for index in range(4)]
    assert queue.lost(1) == [unit(1), unit(3)]
    assert queue.credit(1) == CREDITS
    assert queue.depth == 6
    assert [queue.take(worker) for worker in (2, 2, 3, 3)] == [unit(1), unit(3), unit(4), unit(5)]
    assert queue.lost(1) == []


def test_lost_units_are_lost_again_and_stay_in_the_order_of_steps():
    queue = UnitQueue(4)
    units = [unit(5, step=1), unit(0, step=2)]
    for each in units:
        queue.put(each)
    for worker in (0, 1):
        assert take_all(queue, worker) == units
        assert queue.lost(worker) == units
    assert take_all(queue, 2) == units


def test_a_doubled_answer_is_recognised():
    queue = queue_of(2)
    assert queue.take(0) == unit(0)
    assert queue.answered(unit(0))
    assert not queue.answered(unit(0))
    assert queue.depth == 1
    assert not queue.answered(unit(7)), "one that was never asked for"


def test_high_water_stays_when_the_depth_falls():
    queue = queue_of(4)
    assert [queue.answered(taken) for taken in take_all(queue, 0)] == [True] * CREDITS
    assert (queue.depth, queue.high_water, queue.capacity) == (4 - CREDITS, 4, 4)


class Script(RuleBasedStateMachine):
    """Any order of events: what is put is answered once, and is until then waiting or held."""

    capacity, workers = 7, st.integers(0, 3)

    def __init__(self):
        super().__init__()
        self.queue = UnitQueue(self.capacity)
        self.put_so_far = 0
        self.waiting, self.held, self.done = [], {}, set()

    @precondition(lambda self: not self.queue.full)
    @rule()
    def put(self):
        self.waiting.append(unit(self.put_so_far))
        self.put_so_far += 1
        self.queue.put(self.waiting[-1])

    @rule(worker=workers)
    def take(self, worker):
        allowed = self.waiting and list(self.held.values()).count(worker) < CREDITS
        expected = self.waiting.pop(0) if allowed else None
        assert self.queue.take(worker) == expected
        if expected is not None:
            self.held[expected] = worker

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def answer(self, data):
        answered = data.draw(st.sampled_from(sorted(self.held)))
        assert self.queue.answered(answered)
        del self.held[answered]
        self.done.add(answered)

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def answer_again(self, data):
        assert not self.queue.answered(data.draw(st.sampled_from(sorted(self.done))))

    @rule(worker=workers)
    def die(self, worker):
        lost = [held for held, holder in sorted(self.held.items()) if holder == worker]
        assert self.queue.lost(worker) == lost
        self.waiting = lost + self.waiting
        self.held = {held: holder for held, holder in self.held.items() if holder != worker}

    @invariant()
    def every_unit_is_on_the_books_or_answered(self):
        assert self.queue.depth == len(self.waiting) + len(self.held) == self.put_so_far - len(self.done)
        assert self.queue.depth <= self.queue.high_water <= self.capacity
        for worker in range(4):
            assert self.queue.credit(worker) == CREDITS - list(self.held.values()).count(worker) >= 0

    def teardown(self):
        """Whoever is left answers everything: nothing is lost."""
        for worker in range(4):
            self.queue.lost(worker)
        while (taken := self.queue.take(0)) is not None:
            assert self.queue.answered(taken)
            self.done.add(taken)
        assert self.done == {unit(index) for index in range(self.put_so_far)}
        assert self.queue.depth == 0


Script.TestCase.settings = settings(deadline=None, database=None, max_examples=40, stateful_step_count=30)
test_any_order_of_events = Script.TestCase
