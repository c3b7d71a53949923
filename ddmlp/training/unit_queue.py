"""The queue of units: it is bounded, gives each worker credit for a few units, and counts each unit once."""

import logging
from collections import deque
from collections.abc import Collection

from ddmlp.config import Timeouts
from ddmlp.errors import TrainingError
from ddmlp.training.messages import CREDITS, Gradient, Unit
from ddmlp.training.stragglers import StragglerDetector
from ddmlp.training.worker_pool import name_of

log = logging.getLogger(__name__)


class UnitQueue:
    """The units that are not answered yet, at most `capacity`, and the workers that hold them.

    A unit waits until a worker with credit takes it (credit-based flow control), and stays open until its first answer
    arrives. If its holder dies or is overdue, the unit returns to the front of the queue. An overdue worker gets no
    more units until it has answered all that it holds, and has rested if it was overdue before. If another worker has
    answered one of its units in the meantime, the two answers are compared.

    Times are seconds on any monotonic clock.

    >>> from ddmlp.plan.reduction_tree import Node
    >>> queue = UnitQueue(capacity=4)
    >>> queue.put(Unit(step=0, version=0, node=Node(0, 1)))
    >>> str(queue.take(worker=7))
    'step 0, microbatches 0 to 0'
    >>> queue.depth, queue.credit(worker=7)
    (1, 1)
    """

    def __init__(self, capacity: int, timeouts: Timeouts | None = None) -> None:
        self.capacity = capacity
        self.high_water = 0
        self.reissued = 0  # units given to a second worker because the first one was overdue
        self.compared = 0  # second answers that were compared with the first one, and agreed
        self._stragglers = StragglerDetector(timeouts or Timeouts())
        self._waiting: deque[Unit] = deque()
        self._open: set[Unit] = set()
        # The units of each worker, in the order in which it took them; False: its answer will be ignored.
        self._held: dict[int, dict[Unit, bool]] = {}
        self._capacities: dict[int, int] = {}
        self._firsts: dict[Unit, tuple[int, bytes]] = {}  # worker and digest of first answers, while others compute

    @property
    def depth(self) -> int:
        """The number of open units: put, and not answered yet."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether no unit may be put until one is answered."""
        return self.depth >= self.capacity

    @property
    def overdue(self) -> int:
        """The number of overdue workers."""
        return len(self._stragglers.overdue)

    @property
    def resting(self) -> Collection[int]:
        """The workers that get no units for a while, because they were overdue repeatedly. They hold no units."""
        return self._stragglers.resting

    def put(self, unit: Unit) -> None:
        """Add a unit. The queue must not be full."""
        assert not self.full, f"{self.depth} units are open, at most {self.capacity} may be"
        self._open.add(unit)
        self._waiting.append(unit)
        self.high_water = max(self.high_water, self.depth)

    def take(self, worker: int, now: float = 0.0, capacity: int = 1) -> Unit | None:
        """Give the next unit to `worker`. Returns None if no unit waits, or the worker has no credit left.

        capacity: the number of workers, if it is a relay. So much faster it is expected to be.
        """
        if not self._waiting or self.credit(worker) == 0:
            return None
        unit = self._waiting.popleft()
        self.reissued += bool(self.overdue and self._holders(unit))
        held = self._held.setdefault(worker, {})
        self._capacities[worker] = capacity
        if not held:
            self._stragglers.begin_unit(worker, now)
        held[unit] = True
        return unit

    def credit(self, worker: int) -> int:
        """The number of units that `worker` may still take: 0 while it is overdue or rests."""
        return CREDITS - len(self._held.get(worker, ())) if self.available(worker) else 0

    def available(self, worker: int) -> bool:
        """Whether `worker` is neither overdue nor resting."""
        return worker not in self._stragglers.overdue and worker not in self.resting

    def peek(self) -> Unit | None:
        """The next unit to be taken; None if none waits."""
        return self._waiting[0] if self._waiting else None

    def current_unit(self, worker: int) -> Unit | None:
        """The unit that `worker` computes now, the first that it took; None if it holds none."""
        return next(iter(self._held.get(worker, ())), None)

    def versions_in_use(self) -> set[int]:
        """The versions of the weights that open units, and units held by workers, are computed with."""
        held = {unit.version for held in self._held.values() for unit, counts in held.items() if counts}
        return held | {unit.version for unit in self._open}

    def give_up_oldest(self) -> int:
        """Ignore late answers, so that the oldest version that only they need can be overwritten. Returns that version.

        There must be such a version. The answers given up may be computed from any weights, and are not compared.
        """
        late = [
            (unit.version, worker, unit)
            for worker, held in self._held.items()
            for unit, counts in held.items()
            if counts and unit not in self._open
        ]
        oldest = min(version for version, _, _ in late)
        for version, worker, unit in late:
            if version == oldest:
                self._held[worker][unit] = False
                self._firsts.pop(unit, None)
        return oldest

    def accept(self, gradient: Gradient, now: float = 0.0) -> bool:
        """Enter an answer to a unit that its worker holds. Returns whether it is the first one, which alone counts.

        Raises TrainingError if it differs from the first one: then one of the two workers computes wrong values.
        """
        unit, worker = gradient.unit, gradient.worker
        held = self._held[worker]
        counts = held.pop(unit)
        self._stragglers.end_unit(worker, self._size(worker, unit), now, idle=not held)
        first = unit in self._open
        if first:
            self._open.remove(unit)
            if unit in self._waiting:
                self._waiting.remove(unit)
            if self._holders(unit):
                self._firsts[unit] = worker, gradient.sha256()
        elif counts:
            self._compare(gradient)
            if not self._holders(unit):
                del self._firsts[unit]
        return first

    def remove_worker(self, worker: int) -> list[Unit]:
        """Remove a dead worker, and put its open units back to the front of the queue, in order. Returns them.

        A unit that another worker holds is not put back, unless that worker is overdue.
        """
        held = self._held.pop(worker, {})
        self._capacities.pop(worker, None)
        self._stragglers.remove(worker)
        for unit, counts in held.items():
            if counts and unit not in self._open and not self._holders(unit):
                del self._firsts[unit]
        overdue = self._stragglers.overdue
        return self._put_back({unit for unit in held if unit in self._open and overdue.issuperset(self._holders(unit))})

    def reissue_overdue(self, now: float) -> list[Unit]:
        """Put the open units of newly overdue workers back to the front of the queue, in order. Returns them.

        Call this only when there is no unread answer, because an answer that waits to be read is not late.
        """
        late = self._stragglers.mark_overdue(self._current_sizes(), now)
        if late:
            log.info("overdue: %s; others get their units, too", ", ".join(map(name_of, sorted(late))))
        return self._put_back({unit for worker in late for unit in self._held[worker] if unit in self._open})

    def next_deadline(self) -> float:
        """The time at which the next worker becomes overdue unless it answers; infinite if none holds a unit."""
        return self._stragglers.next_deadline(self._current_sizes())

    def unresponsive(self) -> list[int]:
        """The overdue workers that exceeded the limit `unresponsive` when there was last no unread answer."""
        return self._stragglers.unresponsive(self._current_sizes())

    def _current_sizes(self) -> dict[int, float]:
        """The number of microbatches in the current unit of each worker that holds one."""
        return {worker: self._size(worker, next(iter(held))) for worker, held in self._held.items() if held}

    def _size(self, worker: int, unit: Unit) -> float:
        """The number of microbatches in a unit; of a relay, for each of its workers."""
        return unit.microbatches / self._capacities[worker]

    def _holders(self, unit: Unit) -> list[int]:
        return [worker for worker, held in self._held.items() if held.get(unit)]

    def _put_back(self, units: set[Unit]) -> list[Unit]:
        first = sorted(units.difference(self._waiting))
        self._waiting.extendleft(reversed(first))
        return first

    def _compare(self, gradient: Gradient) -> None:
        worker, digest = self._firsts[gradient.unit]
        if gradient.sha256() != digest:
            raise different_gradients(gradient.unit, worker, gradient.worker)
        self.compared += 1


def different_gradients(unit: Unit, first: int, second: int) -> TrainingError:
    """The error for a unit of which two workers computed different gradients."""
    return TrainingError(
        f"workers {first} and {second} computed different gradients of {unit}, from the same rows and weights: one of "
        "the two machines computes wrong values, and recent checkpoints may have them; run `ddmlp verify` to find the "
        "correct ones"
    )
