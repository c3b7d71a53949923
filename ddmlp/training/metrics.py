"""What is measured while a run trains, and the events that go into metrics.jsonl."""

import math
from collections import Counter, deque
from dataclasses import asdict, dataclass, field

from ddmlp.errors import printable
from ddmlp.inference.evaluation import Evaluation
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Header, PrequentialState
from ddmlp.runs.events import Epoch, Event, Lost, Progress, Queue, Queues, Saved, Started
from ddmlp.runs.measures import PrequentialError, Staleness
from ddmlp.training.loop import WaitTimes
from ddmlp.training.worker_pool import LostWorker, PoolStats

RECORDS_PER_EPOCH = 50  # progress lines in metrics.jsonl
WINDOW = 10_000  # rows of the prequential error


@dataclass
class Stretch:
    """Sums over the steps of a stretch: rows, their errors E, their mistakes, and the seconds they took; and how many
    of the steps were applied with which staleness."""

    rows: int = 0
    errors: float = 0.0
    mistakes: int = 0
    seconds: float = 0.0
    staleness: Counter[int] = field(default_factory=Counter)

    def record_step(self, row_stats: RowStats, seconds: float, staleness: int) -> None:
        """Add a step's sums."""
        self.staleness[staleness] += 1
        self.rows += row_stats.rows
        self.errors += row_stats.error
        self.mistakes += row_stats.mistakes
        self.seconds += seconds

    @property
    def error(self) -> float:
        """The mean error E of a row; nan where there were none."""
        return self.errors / self.rows if self.rows else math.nan

    @property
    def mistaken(self) -> float:
        """The fraction of rows that were recognised wrongly; nan where there were none."""
        return self.mistakes / self.rows if self.rows else math.nan

    @property
    def speed(self) -> float:
        """Rows a second; 0 where there were none."""
        return self.rows / self.seconds if self.seconds else 0.0


class Prequential:
    """Test, then train: which fraction of the rows was recognised wrongly, each before it was trained on; over the
    newest WINDOW rows, rounded up to whole steps, and over all. (Dawid 1984, "Statistical theory: the prequential
    approach"; the window as in Gama, Sebastiao and Rodrigues 2013, "On evaluating stream learning algorithms".)
    """

    def __init__(self, state: PrequentialState | None) -> None:
        """Go on with what a checkpoint says of it; with None, from nothing."""
        state = state or PrequentialState(0, 0, [])
        self.rows, self.mistakes = state.rows, state.mistakes
        self._steps = deque(state.steps)
        self.window = Stretch(sum(rows for rows, _ in self._steps), 0.0, sum(wrong for _, wrong in self._steps))

    def record_step(self, row_stats: RowStats) -> None:
        """A step's rows were recognised, and then trained on."""
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
        """What it is; None before there were rows."""
        if not self.rows:
            return None
        return PrequentialError(self.window.rows, self.window.mistaken, self.mistakes / self.rows)

    @property
    def state(self) -> PrequentialState:
        """What a checkpoint says of it."""
        return PrequentialState(self.rows, self.mistakes, list(self._steps))


class Journal:
    """The events of a trainer, until its next report, and what it has measured."""

    def __init__(self, follow: bool, step: int, header: Header, complaints: list[str]) -> None:
        """Begin at `step`. follow: whether each row is trained on once; header: of its checkpoint, which has what was
        measured before; complaints: what was wrong with what it began from."""
        self.seconds = header.train_seconds
        self._staleness = Counter(header.staleness)
        self._prequential = Prequential(header.prequential) if follow else None
        # A file's name may have bytes that are no text.
        self._events: list[Event] = [Started(step, [*map(printable, complaints)])]
        self._since_record, self._since_report = Stretch(), Stretch()

    def applied(self, row_stats: RowStats, seconds: float, staleness: int = 0) -> None:
        """A step was applied, after so many seconds, by a gradient so many versions old."""
        self.seconds += seconds
        self._staleness[staleness] += 1
        if self._prequential:
            self._prequential.record_step(row_stats)
        for stretch in (self._since_record, self._since_report):
            stretch.record_step(row_stats, seconds, staleness)

    def progress(self, step: int, plan: Plan, pool: PoolStats, waits: WaitTimes, *, last: bool) -> None:
        """Note how far it is, where it has moved: a number of times an epoch and at the last step."""
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
            # A full queue makes its sender wait: the plan for a place among the units; a worker, whose credits are its
            # places among the gradients, for its next unit.
            queues=Queues(
                units=Queue(pool.depth, pool.high_water, waits.full_queue),
                gradients=Queue(pool.unread, pool.unread_high_water, pool.waited),
            ),
            waited=waits.results,
            reissued=pool.reissued,
            answered=dict(pool.answered),
        )
        self._events.append(event)

    def next_record(self, step: int, plan: Plan) -> int:
        """The first position behind `step` that is noted, unless the epoch ends before."""
        every = _record_every(plan)
        return step + every - step % plan.steps_per_epoch % every

    def epoch(self, step: int, plan: Plan, found: Evaluation) -> None:
        """An epoch is complete, and was tested."""
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
        """A checkpoint was written, in so many seconds; chain: the digest of its entry."""
        self._events.append(Saved(step, seconds, chain))

    def lost(self, step: int, workers: list[LostWorker]) -> None:
        """Workers were lost or rejected."""
        self._events += [Lost(step=step, **asdict(worker)) for worker in workers]

    @property
    def header(self) -> Header:
        """What a checkpoint says of what was measured."""
        state = self._prequential.state if self._prequential else None
        return Header(train_seconds=self.seconds, staleness=self.staleness.histogram, prequential=state)

    @property
    def staleness(self) -> Staleness:
        """The staleness of all updates."""
        return Staleness.from_counts(self._staleness)

    @property
    def prequential(self) -> PrequentialError | None:
        """None if rows are trained on more than once, or there were none."""
        return self._prequential.error if self._prequential else None

    def report(self) -> tuple[Stretch, list[Event]]:
        """What was measured and what happened since the last report."""
        stretch, self._since_report = self._since_report, Stretch()
        events, self._events = self._events, []
        return stretch, events


def _record_every(plan: Plan) -> int:
    """Steps between progress lines."""
    return math.ceil(plan.steps_per_epoch / RECORDS_PER_EPOCH)
