"""Measurements of a run while it trains, and the events for metrics.jsonl."""

import math
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from datetime import datetime

from ddmlp.errors import printable
from ddmlp.inference.evaluation import Evaluation
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Header, PrequentialState
from ddmlp.runs.events import Drift, Epoch, Event, Lost, Progress, Queue, Queues, Saved, Started
from ddmlp.runs.measures import PrequentialError, Staleness
from ddmlp.training.drift_alarm import DriftAlarm
from ddmlp.training.loop import WaitTimes
from ddmlp.training.worker_pool import LostWorker, PoolStats

RECORDS_PER_EPOCH = 50  # at most, progress lines at regular intervals
WINDOW = 10_000  # newest rows that the prequential error covers


@dataclass
class Stretch:
    """Sums over consecutive steps.

    Parameters
    ----------
    rows : int
        The number of rows.
    errors : float
        The sum of their cross-entropies E.
    mistakes : int
        The number of misclassified rows.
    seconds : float
        The time that the steps took.
    staleness : Counter
        The number of steps for each staleness.
    """

    rows: int = 0
    errors: float = 0.0
    mistakes: int = 0
    seconds: float = 0.0
    staleness: Counter[int] = field(default_factory=Counter)

    def record_step(self, row_stats: RowStats, seconds: float, staleness: int) -> None:
        """Add a step; seconds: the time that it took; staleness: of its gradient, in versions."""
        self.staleness[staleness] += 1
        self.rows += row_stats.rows
        self.errors += row_stats.error
        self.mistakes += row_stats.mistakes
        self.seconds += seconds

    @property
    def error(self) -> float:
        """The mean error E per row; NaN if there were no rows."""
        return self.errors / self.rows if self.rows else math.nan

    @property
    def mistaken(self) -> float:
        """The fraction of misclassified rows; NaN if there were no rows."""
        return self.mistakes / self.rows if self.rows else math.nan

    @property
    def speed(self) -> float:
        """Rows per second; 0 if there were no rows."""
        return self.rows / self.seconds if self.seconds else 0.0


class Prequential:
    """The prequential error: the fraction of rows that were misclassified, each before the network was trained on it.

    It covers the newest WINDOW rows, rounded up to whole steps, and separately all rows. (Dawid 1984, "Statistical
    theory: the prequential approach"; the window as in Gama, Sebastiao and Rodrigues 2013, "On evaluating stream
    learning algorithms".)
    """

    def __init__(self, state: PrequentialState | None) -> None:
        """Continue from the state of a checkpoint; None: start from zero."""
        state = state or PrequentialState(0, 0, [])
        self.rows, self.mistakes = state.rows, state.mistakes
        self._steps = deque(state.steps)
        self.window = Stretch(sum(rows for rows, _ in self._steps), 0.0, sum(wrong for _, wrong in self._steps))

    def record_step(self, row_stats: RowStats) -> None:
        """Add a step, whose rows were classified before they were trained on."""
        self.rows += row_stats.rows
        self.mistakes += row_stats.mistakes
        self.window.rows += row_stats.rows
        self.window.mistakes += row_stats.mistakes
        self._steps.append((row_stats.rows, row_stats.mistakes))
        while self.window.rows - self._steps[0][0] >= WINDOW:
            rows, mistakes = self._steps.popleft()
            self.window.rows -= rows
            self.window.mistakes -= mistakes

    @property
    def error(self) -> PrequentialError | None:
        """The error so far; None if there were no rows."""
        if not self.rows:
            return None
        return PrequentialError(self.window.rows, self.window.mistaken, self.mistakes / self.rows)

    @property
    def state(self) -> PrequentialState:
        """The state to store in a checkpoint."""
        return PrequentialState(self.rows, self.mistakes, list(self._steps))


class Journal:
    """Collects the events of a trainer until its next report, and the measurements of the whole run."""

    def __init__(
        self, follow: bool, step: int, header: Header, complaints: list[str], *, drift_alarm: bool = False
    ) -> None:
        """Begin at `step`.

        follow: whether each row is trained on only once; header: that of the checkpoint, with the measurements up to
        it; complaints: the problems found when the run was resumed; drift_alarm: whether to record rises of the
        prequential error.
        """
        self._step = step
        self.seconds = header.train_seconds
        self._staleness = Counter(header.staleness)
        self._prequential = Prequential(header.prequential) if follow else None
        self._drift_alarm = DriftAlarm(header.prequential) if drift_alarm and follow else None
        # The name of a file may have bytes that are not valid text.
        self._events: list[Event] = [Started(step, [*map(printable, complaints)])]
        self._since_record, self._since_report = Stretch(), Stretch()

    def applied(self, row_stats: RowStats, seconds: float, staleness: int = 0) -> None:
        """Record an applied step; seconds: the time that it took; staleness: of its gradient, in versions."""
        self.seconds += seconds
        self._staleness[staleness] += 1
        self._step += 1
        if self._prequential:
            self._prequential.record_step(row_stats)
            if self._drift_alarm and (rise := self._drift_alarm.record_step(row_stats.rows, row_stats.mistakes)):
                self._events.append(Drift(step=self._step, rows=self._prequential.rows, **rise._asdict()))
        for stretch in (self._since_record, self._since_report):
            stretch.record_step(row_stats, seconds, staleness)

    def progress(
        self,
        step: int,
        plan: Plan,
        pool: PoolStats,
        waits: WaitTimes,
        bad_rows: int | None = None,
        trained_to: datetime | None = None,
        *,
        last: bool,
    ) -> None:
        """Add a progress event if one is due, at regular intervals and at the last step, and if rows were applied.

        bad_rows: of the stream, put aside so far; trained_to: see `TrainingData.trained_to`.
        """
        if not self._since_record.rows or (step % plan.steps_per_epoch % _record_every(plan) and not last):
            return
        stretch, self._since_record = self._since_record, Stretch()
        event = Progress(
            step=step,
            epoch=step / plan.steps_per_epoch,
            rows=plan.rows_before(step),
            error=stretch.error,
            mistakes=stretch.mistaken,
            prequential=self.prequential,
            speed=stretch.speed,
            seconds=self.seconds,
            staleness=Staleness.from_counts(stretch.staleness),
            workers=pool.workers,
            # The sender waits if a queue is full: the step loop, if the queue of units is full; a worker, if it has no
            # credit, because credits are the places in the queue of gradients.
            queues=Queues(
                units=Queue(pool.depth, pool.high_water, waits.full_queue),
                gradients=Queue(pool.unread, pool.unread_high_water, pool.waited),
            ),
            waited=waits.results,
            reissued=pool.reissued,
            answered=dict(pool.answered),
            bad_rows=bad_rows,
            trained_to=trained_to,
        )
        self._events.append(event)

    def next_record(self, step: int, plan: Plan) -> int:
        """The next position after `step` at which a progress event is due, unless the epoch ends before."""
        every = _record_every(plan)
        return step + every - step % plan.steps_per_epoch % every

    def epoch(self, step: int, plan: Plan, found: Evaluation) -> None:
        """Record the test result at the end of an epoch."""
        event = Epoch(
            step=step,
            epoch=plan.epoch(step),
            error=found.error,
            cross_entropy=found.cross_entropy,
            rows=found.rows,
            seconds=self.seconds,
        )
        self._events.append(event)

    def checkpoint(self, step: int, seconds: float, chain: str) -> None:
        """Record a checkpoint; seconds: the time to write it; chain: the digest of its entry in the hash chain."""
        self._events.append(Saved(step, seconds, chain))

    def lost(self, step: int, workers: list[LostWorker]) -> None:
        """Record workers that were lost or rejected."""
        self._events += [Lost(step=step, **asdict(worker)) for worker in workers]

    @property
    def header(self) -> Header:
        """The measurements to store in a checkpoint."""
        state = self._prequential.state if self._prequential else None
        return Header(train_seconds=self.seconds, staleness=self.staleness.histogram, prequential=state)

    @property
    def staleness(self) -> Staleness:
        """The staleness of all updates."""
        return Staleness.from_counts(self._staleness)

    @property
    def prequential(self) -> PrequentialError | None:
        """The prequential error so far; None if rows are trained on more than once, or if there were no rows."""
        return self._prequential.error if self._prequential else None

    def report(self) -> tuple[Stretch, list[Event]]:
        """Return, and reset, the sums and the events since the last report."""
        stretch, self._since_report = self._since_report, Stretch()
        events, self._events = self._events, []
        return stretch, events


def _record_every(plan: Plan) -> int:
    """Steps between progress events."""
    return math.ceil(plan.steps_per_epoch / RECORDS_PER_EPOCH)
