"""Stragglers: workers that take much longer than the others.

Straggler detection only decides which worker computes a unit, never what is computed: the first answer counts, and a
second one is compared with it (backup tasks, as in Dean and Ghemawat 2004, "MapReduce", section 3.6).

The other workers may have to wait until an overdue unit is detected. So a worker that is overdue again and again is
used less and less.
"""

from collections.abc import Mapping

from ddmlp.config import Timeouts

OVERDUE_FACTOR = 5.0  # a unit is overdue after this many times the usual time
SMOOTHING = 0.1  # the weight of the newest answer in a worker's pace
MIN_REST, MAX_REST = 4, 256  # measured in answers of other workers


class StragglerDetector:
    """Measures the pace of each worker, and decides which workers are overdue.

    Times are seconds on any monotonic clock. A worker computes its units one after the other; the argument `units` maps
    each worker that holds a unit to the number of microbatches in its current unit.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self.overdue: set[int] = set()
        self.resting: dict[int, int] = {}  # workers that get no units until this many answers of others have arrived
        self._rests: dict[int, int] = {}  # the length of each worker's next rest
        self._since: dict[int, float] = {}  # when each worker began its current unit
        self._pace: dict[int, float] = {}  # seconds per microbatch, smoothed, by worker
        self._usual = 0.0  # the lower median of the paces; 0 if it must be computed again
        self._first = timeouts.first_unit  # the time allowed while no pace is known
        self._looked = 0.0  # when there was last no unread answer

    def begin_unit(self, worker: int, now: float) -> None:
        """Note that an idle worker was given a unit."""
        self._since[worker] = now

    def end_unit(self, worker: int, microbatches: float, now: float, *, idle: bool) -> None:
        """Note that a worker has answered a unit, and begins its next one unless it is `idle`."""
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
            self._first *= 2  # the worker may not have been slow: perhaps the first unit takes that long anywhere
        self.overdue.discard(worker)
        self._pace.pop(worker, None)
        self._rests.pop(worker, None)
        self.resting.pop(worker, None)
        self._end_rests()

    def mark_overdue(self, units: Mapping[int, float], now: float) -> list[int]:
        """Mark workers as overdue, and return the new ones.

        Call this only when there is no unread answer, because an answer that waits to be read is not late.
        """
        self._looked = now
        late = [worker for worker in self._on_time(units) if now >= self._deadline(worker, units[worker])]
        self.overdue.update(late)
        self._end_rests()
        return late

    def next_deadline(self, units: Mapping[int, float]) -> float:
        """The time at which the next worker becomes overdue unless it answers; infinite if none holds a unit."""
        return min((self._deadline(worker, units[worker]) for worker in self._on_time(units)), default=float("inf"))

    def unresponsive(self, units: Mapping[int, float]) -> list[int]:
        """The overdue workers that exceeded the limit `unresponsive` when there was last no unread answer."""
        return sorted(
            worker
            for worker in self.overdue
            if self._looked > self._since[worker] + max(self._timeouts.unresponsive, self._allowed(units[worker]))
        )

    def _begin_rest(self, worker: int) -> None:
        """Let a worker rest: not the first time, then twice as long each time. A timely answer halves its next rest."""
        rest = self._rests.get(worker, 0)
        self._rests[worker] = min(max(MIN_REST, 2 * rest), MAX_REST)
        if rest:
            self.resting[worker] = rest
            self._end_rests()

    def _end_rests(self) -> None:
        """End all rests if no other worker answers in time, because a rest ends with the answers of others."""
        if not self._pace.keys() - self.overdue - self.resting.keys():
            self.resting.clear()

    def _on_time(self, units: Mapping[int, float]) -> list[int]:
        return [worker for worker in units if worker not in self.overdue]

    def _deadline(self, worker: int, microbatches: float) -> float:
        return self._since[worker] + self._allowed(microbatches)

    def _allowed(self, microbatches: float) -> float:
        """The time limit, in seconds, for a unit of `microbatches` microbatches."""
        if not self._pace:
            return self._first
        if not self._usual:
            self._usual = sorted(self._pace.values())[(len(self._pace) - 1) // 2]
        return max(self._timeouts.overdue, OVERDUE_FACTOR * self._usual * microbatches)
