"""The queue of units: its bound, the workers' credits, and that each unit counts once, whoever answers it."""

from collections import deque
from collections.abc import Collection

from ddmlp.config import Timeouts
from ddmlp.errors import TrainingError
from ddmlp.training.messages import CREDITS, Gradient, Unit
from ddmlp.training.stragglers import StragglerDetector


class UnitQueue:
    """The units that are not answered yet, never more than `capacity`, and which worker holds which.

    A unit waits until a worker with credit takes it (credit-based flow control), and stays open until its first answer
    comes. If its holder dies or is overdue, it waits again, in front. An overdue worker gets nothing more until it has
    answered all that it holds, and has rested if it was overdue before. Its answers to units that others have answered
    meanwhile are compared with theirs.

    Times are seconds on any clock that does not go back.
    """

    def __init__(self, capacity: int, timeouts: Timeouts | None = None) -> None:
        self.capacity = capacity
        self.high_water = 0
        self.reissued = 0  # units given to a second worker because the first was overdue
        self.compared = 0  # second answers that were compared with the first, and agreed
        self._stragglers = StragglerDetector(timeouts or Timeouts())
        self._waiting: deque[Unit] = deque()
        self._open: set[Unit] = set()
        # By worker, in the order in which they were taken; and whether the answer counts, or is compared.
        self._held: dict[int, dict[Unit, bool]] = {}
        self._firsts: dict[Unit, tuple[int, bytes]] = {}  # worker and digest of the first answer, while others compute

    @property
    def depth(self) -> int:
        """How many units are open: put, and not answered."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether no unit may be put before one is answered."""
        return self.depth >= self.capacity

    @property
    def overdue(self) -> int:
        """How many workers are overdue."""
        return len(self._stragglers.overdue)

    @property
    def resting(self) -> Collection[int]:
        """The workers that get nothing for a while, because they were overdue again and again; they hold nothing."""
        return self._stragglers.resting

    def put(self, unit: Unit) -> None:
        """Add a unit. The queue must not be full."""
        assert not self.full, f"{self.depth} units are open, of {self.capacity} at most"
        self._open.add(unit)
        self._waiting.append(unit)
        self.high_water = max(self.high_water, self.depth)

    def take(self, worker: int, now: float = 0.0) -> Unit | None:
        """Give the next unit to `worker`; None if none waits, or the worker has no credit left."""
        if not self._waiting or self.credit(worker) == 0:
            return None
        unit = self._waiting.popleft()
        self.reissued += bool(self.overdue and self._holders(unit))
        held = self._held.setdefault(worker, {})
        if not held:
            self._stragglers.begin_unit(worker, now)
        held[unit] = True
        return unit

    def credit(self, worker: int) -> int:
        """How many more units `worker` may take: none while it is overdue, or rests."""
        if worker in self._stragglers.overdue or worker in self.resting:
            return 0
        return CREDITS - len(self._held.get(worker, ()))

    def peek(self) -> Unit | None:
        """The unit that is given out next."""
        return self._waiting[0] if self._waiting else None

    def current_unit(self, worker: int) -> Unit | None:
        """The unit that `worker` has to answer next: it computes them in the order in which it took them."""
        return next(iter(self._held.get(worker, ())), None)

    def versions_in_use(self) -> set[int]:
        """The versions of the weights that open units, and units that workers hold, are computed with."""
        held = {unit.version for held in self._held.values() for unit, counts in held.items() if counts}
        return held | {unit.version for unit in self._open}

    def give_up_oldest(self) -> int:
        """Give up the late answers to the oldest version that only they need, which there must be: they may be computed
        from any weights, and are not compared. Returns the version."""
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
        """Enter an answer to a unit that its worker holds; whether it is the unit's first, which alone counts.

        Raises TrainingError if it differs from the first: one of the two workers computes wrongly.
        """
        unit, worker = gradient.unit, gradient.worker
        held = self._held[worker]
        counts = held.pop(unit)
        self._stragglers.end_unit(worker, unit.microbatches, now, idle=not held)
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
        """Put back, in front and in order, what only a worker that is gone holds in time; returns it."""
        held = self._held.pop(worker, {})
        self._stragglers.remove(worker)
        for unit, counts in held.items():
            if counts and unit not in self._open and not self._holders(unit):
                del self._firsts[unit]
        overdue = self._stragglers.overdue
        return self._put_back({unit for unit in held if unit in self._open and overdue.issuperset(self._holders(unit))})

    def reissue_overdue(self, now: float) -> list[Unit]:
        """Let what overdue workers hold wait again, in front and in order, for others; returns it. To be called if
        there is no answer to read: an answer that lies unread is not late."""
        late = self._stragglers.mark_overdue(self._current_sizes(), now)
        return self._put_back({unit for worker in late for unit in self._held[worker] if unit in self._open})

    def next_deadline(self) -> float:
        """When the next worker will be overdue if it does not answer before; infinite if none holds a unit."""
        return self._stragglers.next_deadline(self._current_sizes())

    def unresponsive(self) -> list[int]:
        """The overdue workers that had not answered for long when there was last no answer to read."""
        return self._stragglers.unresponsive(self._current_sizes())

    def _current_sizes(self) -> dict[int, int]:
        """The microbatches of the unit that each worker computes now."""
        return {worker: next(iter(held)).microbatches for worker, held in self._held.items() if held}

    def _holders(self, unit: Unit) -> list[int]:
        return [worker for worker, held in self._held.items() if held.get(unit)]

    def _put_back(self, units: set[Unit]) -> list[Unit]:
        first = sorted(units.difference(self._waiting))
        self._waiting.extendleft(reversed(first))
        return first

    def _compare(self, gradient: Gradient) -> None:
        worker, digest = self._firsts[gradient.unit]
        if gradient.sha256() != digest:
            raise TrainingError(
                f"workers {worker} and {gradient.worker} computed different gradients of {gradient.unit}, from the "
                f"same rows and weights: the machine of one of them cannot be trusted, nor the checkpoints since then; "
                "`ddmlp verify` tells which are good"
            )
        self.compared += 1
