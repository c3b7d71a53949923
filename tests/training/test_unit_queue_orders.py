"""The queue of units in any order of events: every unit counts once."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ddmlp.config import Timeouts
from ddmlp.training.messages import CREDITS
from ddmlp.training.unit_queue import UnitQueue
from tests.support.units import answer, unit

HANG = Timeouts().unresponsive


class Script(RuleBasedStateMachine):
    """Any order of events: the first answer to a unit counts; until then, the unit waits or is held."""

    capacity, workers = 7, st.integers(0, 3)

    def __init__(self):
        super().__init__()
        self.queue, self.now = UnitQueue(self.capacity), 0.0
        self.units, self.waiting, self.done, self.compared = [], [], [], 0
        self.held = {worker: [] for worker in range(4)}
        self.since, self.overdue, self.reissued = {}, set(), 0
        self.given_up = set()  # pairs of worker and unit

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
        while self.waiting and len(self.held[worker]) < CREDITS and worker not in {*self.overdue, *self.queue.resting}:
            taken = self.waiting.pop(0)
            self.reissued += taken in self.all_held()  # it is open, so no answer to it is given up
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
        elif (worker, unit) not in self.given_up:
            self.compared += 1
        self.given_up.discard((worker, unit))

    def late(self):
        """The pairs of worker and unit whose unit another worker has answered."""
        held = {(worker, each) for worker, held in self.held.items() for each in held if each in self.done}
        return held - self.given_up

    @precondition(late)
    @rule()
    def give_up(self):
        oldest = min(each.version for _, each in self.late())
        assert self.queue.give_up_oldest() == oldest
        self.given_up |= {(worker, each) for worker, each in self.late() if each.version == oldest}

    @rule(worker=workers)
    def die(self, worker):
        mine = self.open(self.held[worker])
        self.given_up -= {(worker, each) for each in self.held[worker]}
        self.held[worker] = []
        self.overdue.discard(worker)
        lost = self.queue.remove_worker(worker)
        assert lost == sorted(mine.difference(self.waiting, self.held_on_time()))
        self.waiting = lost + self.waiting

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.5, 70.0, None]))
    def time_passes(self, seconds):
        """Let `seconds` pass, or all until the next deadline. Units are equal, so the first begun is late first."""
        queue = self.queue
        self.now = max(self.now, min(queue.next_deadline(), 1e9)) if seconds is None else self.now + seconds
        on_time = sorted((self.since[w], w) for w, held in self.held.items() if held and w not in self.overdue)
        due = self.now >= queue.next_deadline()
        again = queue.reissue_overdue(self.now)
        late = queue.overdue - len(self.overdue)
        assert (late > 0) is due
        assert queue.next_deadline() > self.now
        assert all(one < other for one, _ in on_time[:late] for other, _ in on_time[late:])
        self.overdue |= {worker for _, worker in on_time[:late]}
        held = [each for _, worker in on_time[:late] for each in self.held[worker]]
        assert again == sorted(self.open(held).difference(self.waiting))
        self.waiting = again + self.waiting

    @invariant()
    def counts_are_right(self):
        queue, due = self.queue, self.open(self.units)
        assert due == self.open([*self.waiting, *self.held_on_time()]), "each waits, or a worker on time holds it"
        assert queue.reissued == self.reissued
        assert queue.depth == len(due) <= queue.high_water <= self.capacity
        assert (queue.compared, queue.overdue) == (self.compared, len(self.overdue))
        assert queue.versions_in_use() == {each.version for each in due} | {each.version for _, each in self.late()}
        for worker, held in self.held.items():
            none = worker in self.overdue or worker in queue.resting
            assert queue.credit(worker) == (0 if none else CREDITS - len(held))
            assert not (held and worker in queue.resting)
            assert queue.current_unit(worker) == (held[0] if held else None)
        assert not queue.resting or {*self.held} - self.overdue - {*queue.resting}, "a worker continues"
        silent = {worker for worker in self.overdue if self.now > self.since[worker] + HANG}
        assert silent.issuperset(queue.unresponsive())

    def teardown(self):
        """Each worker answers its units, and a new one the rest: then every unit has counted once."""
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
