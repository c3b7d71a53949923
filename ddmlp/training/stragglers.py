"""Stragglers: workers that take much longer than the others.

They only decide which worker computes what, never what is computed: the first answer counts, and a second one is
compared with it.

What is overdue holds the others up until that is seen. So a worker that is overdue each time is used less and less.
"""

from collections.abc import Mapping

from ddmlp.config import Timeouts

SLOWER = 5.0  # times the usual time, after which a unit is overdue
SMOOTHING = 0.1  # weight of the newest answer in a worker's pace
SHORTEST_REST, LONGEST_REST = 4, 256  # answers of others


class StragglerDetector:
    """Measures each worker's pace, and tells which workers are overdue.

    Times are seconds on any clock that does not go back. A worker computes its units one after the other; `units` maps
    the workers that hold any to the microbatches of the unit that each computes now.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self.overdue: set[int] = set()
        self.resting: dict[int, int] = {}  # the workers that get nothing before others have answered so often
        self._rests: dict[int, int] = {}  # the next rest of each worker
        self._since: dict[int, float] = {}  # when each worker began its current unit
        self._pace: dict[int, float] = {}  # seconds a microbatch, smoothed, by worker
        self._usual = 0.0  # the lower median of the paces; 0 if it has to be found anew
        self._first = timeouts.first_unit  # allowed while no pace is known
        self._looked = 0.0  # when there was last no answer to read

    def begin_unit(self, worker: int, now: float) -> None:
        """A worker without a unit was given one."""
        self._since[worker] = now

    def end_unit(self, worker: int, microbatches: int, now: float, *, idle: bool) -> None:
        """A worker has answered a unit, and begins its next one unless it is `idle`."""
        pace = (now - self._since[worker]) / microbatches
        self._pace[worker] = (1 - SMOOTHING) * self._pace.get(worker, pace) + SMOOTHING * pace
        self._usual = 0.0
        self._since[worker] = now
        self.resting = {each: left - 1 for each, left in self.resting.items() if left > 1}
        if worker not in self.overdue:
            self._rests[worker] = self._rests.get(worker, 0) // 2
        elif idle:
            self.overdue.remove(worker)
            self._begin_rest(worker)

    def remove(self, worker: int) -> None:
        """Forget a worker that is gone."""
        if worker in self.overdue and not self._pace:
            self._first *= 2  # perhaps it was not the worker: the first unit may just take so long
        self.overdue.discard(worker)
        self._pace.pop(worker, None)
        self._rests.pop(worker, None)
        self.resting.pop(worker, None)
        self._end_rests()

    def mark_overdue(self, units: Mapping[int, int], now: float) -> list[int]:
        """The workers that are overdue from now on. To be called when there is no answer to read, because an answer
        that lies unread is not late."""
        self._looked = now
        late = [worker for worker in self._on_time(units) if now >= self._deadline(worker, units[worker])]
        self.overdue.update(late)
        self._end_rests()
        return late

    def next_deadline(self, units: Mapping[int, int]) -> float:
        """When the next worker will be overdue if it does not answer before; infinite if none holds a unit."""
        return min((self._deadline(worker, units[worker]) for worker in self._on_time(units)), default=float("inf"))

    def unresponsive(self, units: Mapping[int, int]) -> list[int]:
        """The overdue workers that had not answered for long when there was last no answer to read."""
        return sorted(
            worker
            for worker in self.overdue
            if self._looked > self._since[worker] + max(self._timeouts.unresponsive, self._allowed(units[worker]))
        )

    def _begin_rest(self, worker: int) -> None:
        """None the first time, then twice as long each time; each answer in time halves the next one."""
        rest = self._rests.get(worker, 0)
        self._rests[worker] = min(max(SHORTEST_REST, 2 * rest), LONGEST_REST)
        if rest:
            self.resting[worker] = rest
            self._end_rests()

    def _end_rests(self) -> None:
        """End all rests if nobody is left that answers in time: a rest is counted in answers of others."""
        if not self._pace.keys() - self.overdue - self.resting.keys():
            self.resting.clear()

    def _on_time(self, units: Mapping[int, int]) -> list[int]:
        return [worker for worker in units if worker not in self.overdue]

    def _deadline(self, worker: int, microbatches: int) -> float:
        return self._since[worker] + self._allowed(microbatches)

    def _allowed(self, microbatches: int) -> float:
        """Seconds that a unit of so many microbatches may take."""
        if not self._pace:
            return self._first
        if not self._usual:
            self._usual = sorted(self._pace.values())[(len(self._pace) - 1) // 2]
        return max(self._timeouts.overdue, SLOWER * self._usual * microbatches)
