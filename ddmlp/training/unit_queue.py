"""The queues between the plan, the workers and the parameter server, and the messages in them."""

from collections import deque

from ddmlp.errors import TrainingError
from ddmlp.training.messages import CREDITS, Gradient, Unit

SLOWER = 5.0  # times the usual, after which a unit is overdue ...
SHORTEST = 0.02  # ... but not before so many seconds: a process may have to wait that long for its turn
FIRST = 20.0  # seconds until a unit is overdue while nobody has answered one; twice that after each who is given up
HANG = 5.0  # seconds without an answer, after which a worker that is overdue counts as hung
SMOOTHING = 0.1  # weight of the newest answer in a worker's pace


class UnitQueue:
    """The units that are asked for and not yet answered, never more than `capacity`, and who holds which.

    A unit waits until a worker with credit takes it, and stays on the books until its first answer comes. One whose
    holder is dead, or overdue, waits again, in front. A worker that is overdue gets nothing more until it has answered
    all that it holds; its answers to what others have answered meanwhile are compared with theirs.

    Times are seconds on any clock that does not go back; they decide who computes what, never what is computed.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.high_water = 0
        self.reissued = 0  # units that were given to a second worker because the first was overdue
        self.compared = 0  # second answers that were compared with the first, and agreed
        self._waiting: deque[Unit] = deque()
        self._open: set[Unit] = set()
        self._held: dict[int, dict[Unit, None]] = {}  # by worker, in the order in which they were taken
        self._since: dict[int, float] = {}  # when each worker began on the first unit that it holds
        self._pace: dict[int, float] = {}  # seconds a microbatch, smoothed, by worker
        self._first = FIRST  # seconds that a unit may take, as long as nobody's pace is known
        self._looked = 0.0  # when there was last no answer to be read
        self._usual = 0.0  # their median, the lower one of two; 0 where it is to be found anew
        self._overdue: set[int] = set()
        self._firsts: dict[Unit, tuple[int, bytes]] = {}  # who answered first, and what, while others hold it too

    @property
    def depth(self) -> int:
        """Units on the books."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether the sender has to wait for an answer before it puts another unit."""
        return self.depth >= self.capacity

    @property
    def overdue(self) -> int:
        """How many workers are overdue."""
        return len(self._overdue)

    def put(self, unit: Unit) -> None:
        """Ask for a unit. The queue must not be full."""
        assert not self.full, f"{self.depth} units on the books, of {self.capacity} at most"
        self._open.add(unit)
        self._waiting.append(unit)
        self.high_water = max(self.high_water, self.depth)

    def take(self, worker: int, now: float = 0.0) -> Unit | None:
        """The next unit for `worker`; None where none waits, or the worker's credits are used up."""
        if not self._waiting or self.credit(worker) == 0:
            return None
        unit = self._waiting.popleft()
        self.reissued += bool(self._overdue and self._holders(unit))
        held = self._held.setdefault(worker, {})
        if not held:
            self._since[worker] = now
        held[unit] = None
        return unit

    def credit(self, worker: int) -> int:
        """How many more units `worker` may take: none while it is overdue."""
        return 0 if worker in self._overdue else CREDITS - len(self._held.get(worker, ()))

    def peek(self) -> Unit | None:
        """The unit that is handed out next."""
        return self._waiting[0] if self._waiting else None

    def next_of(self, worker: int) -> Unit | None:
        """The unit that `worker` has to answer next: it computes in the order in which it took them."""
        return next(iter(self._held.get(worker, ())), None)

    def versions(self) -> set[int]:
        """The versions of the weights that units on the books, or out with workers, are to be computed with."""
        return {unit.version for held in self._held.values() for unit in held} | {unit.version for unit in self._open}

    def furthest_behind(self) -> int:
        """The worker that holds the unit of the oldest version, of those that others have answered if there are any;
        there must be one that holds a unit."""
        return min((unit in self._open, unit.version, who) for who, held in self._held.items() for unit in held)[2]

    def answered(self, gradient: Gradient, now: float = 0.0) -> bool:
        """Enter an answer to a unit that its worker holds; whether it is the unit's first, and so counts.

        Raises TrainingError where it differs from the first: one of the two workers computes wrongly.
        """
        unit, worker = gradient.unit, gradient.worker
        held = self._held[worker]
        del held[unit]
        pace = (now - self._since[worker]) / unit.microbatches
        self._pace[worker] = (1 - SMOOTHING) * self._pace.get(worker, pace) + SMOOTHING * pace
        self._usual = 0.0
        self._since[worker] = now
        if not held:
            self._overdue.discard(worker)
        first = unit in self._open
        if first:
            self._open.remove(unit)
            if unit in self._waiting:
                self._waiting.remove(unit)
            if self._holders(unit):
                self._firsts[unit] = worker, gradient.sha256()
        else:
            self._compare(gradient)
            if not self._holders(unit):
                del self._firsts[unit]
        return first

    def lost(self, worker: int) -> list[Unit]:
        """Put back, in front and in order, what a dead worker held and nobody who is on time; returns it."""
        held = self._held.pop(worker, {})
        if worker in self._overdue and not self._pace:
            self._first *= 2  # perhaps it was not the worker: the first unit may just take so long
        self._overdue.discard(worker)
        self._pace.pop(worker, None)
        for unit in held:
            if unit not in self._open and not self._holders(unit):
                del self._firsts[unit]
        return self._again(
            {unit for unit in held if unit in self._open and self._overdue.issuperset(self._holders(unit))}
        )

    def reissue(self, now: float) -> list[Unit]:
        """Let what overdue workers hold wait again, in front and in order, for others; returns it. To be called when
        there is no answer to be read: what lies unread is not late."""
        self._looked = now
        late = [worker for worker in self._on_time() if now >= self._due(worker)]
        self._overdue.update(late)
        return self._again({unit for worker in late for unit in self._held[worker] if unit in self._open})

    def due(self) -> float:
        """When the next worker will be overdue, if it does not answer before; infinite where none holds a unit."""
        return min(map(self._due, self._on_time()), default=float("inf"))

    def hung(self) -> list[int]:
        """The workers that are overdue and had not answered for long when there was last no answer to be read."""
        return sorted(
            worker for worker in self._overdue if self._looked > self._since[worker] + max(HANG, self._patience(worker))
        )

    def _on_time(self) -> list[int]:
        """The workers that hold units and are not overdue."""
        return [worker for worker, held in self._held.items() if held and worker not in self._overdue]

    def _due(self, worker: int) -> float:
        return self._since[worker] + self._patience(worker)

    def _patience(self, worker: int) -> float:
        """Seconds that the first unit that `worker` holds may take."""
        if not self._pace:
            return self._first
        if not self._usual:
            self._usual = sorted(self._pace.values())[(len(self._pace) - 1) // 2]
        return max(SHORTEST, SLOWER * self._usual * next(iter(self._held[worker])).microbatches)

    def _holders(self, unit: Unit) -> list[int]:
        return [worker for worker, held in self._held.items() if unit in held]

    def _again(self, units: set[Unit]) -> list[Unit]:
        first = sorted(units.difference(self._waiting))
        self._waiting.extendleft(reversed(first))
        return first

    def _compare(self, gradient: Gradient) -> None:
        worker, digest = self._firsts[gradient.unit]
        if gradient.sha256() != digest:
            raise TrainingError(
                f"workers {worker} and {gradient.worker} computed different gradients of {gradient.unit}, from the "
                f"same rows and weights: the machine of one of them cannot be trusted, nor the checkpoints since then; "
                "python -m ddmlp.verify tells which are good"
            )
        self.compared += 1
