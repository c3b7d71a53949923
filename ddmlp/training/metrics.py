"""What is measured while a run trains, and the events that go into metrics.jsonl."""

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ddmlp.inference.evaluation import Evaluation
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.events import Event
from ddmlp.training.step_loop import WaitTimes
from ddmlp.training.worker_pool import PoolStats

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

    def add(self, row_stats: RowStats, seconds: float, staleness: int) -> None:
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


def spread(staleness: Mapping[int, int]) -> dict[str, Any]:
    """Mean, maximum and histogram of the staleness of updates, as JSON."""
    staleness = {versions: count for versions, count in staleness.items() if count}
    updates = sum(staleness.values())
    return {
        "mean": sum(versions * count for versions, count in staleness.items()) / max(1, updates),
        "max": max(staleness, default=0),
        "histogram": {str(versions): staleness[versions] for versions in sorted(staleness)},
    }


class Prequential:
    """Test, then train: which fraction of the rows was recognised wrongly, each before it was trained on; over the
    newest WINDOW rows, rounded up to whole steps, and over all. (Dawid 1984, "Statistical theory: the prequential
    approach"; the window as in Gama, Sebastiao and Rodrigues 2013, "On evaluating stream learning algorithms".)
    """

    def __init__(self, about: dict[str, Any]) -> None:
        """Go on with what a checkpoint says `about` it; with {}, from nothing."""
        self.rows, self.mistakes = about.get("rows", 0), about.get("mistakes", 0)
        self._steps: deque[tuple[int, int]] = deque(map(tuple, about.get("steps", [])))
        self.window = Stretch(sum(rows for rows, _ in self._steps), 0.0, sum(wrong for _, wrong in self._steps))

    def add(self, row_stats: RowStats) -> None:
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
    def found(self) -> dict[str, Any]:
        """What it is, as JSON, once there were rows."""
        return {"window": self.window.rows, "error": self.window.mistaken, "overall": self.mistakes / self.rows}

    def about(self) -> dict[str, Any]:
        """What a checkpoint says of it, as JSON."""
        return {"rows": self.rows, "mistakes": self.mistakes, "steps": list(self._steps)}


class Journal:
    """The events of a trainer, until its next report, and what it has measured."""

    def __init__(self, follow: bool, step: int, about: dict[str, Any], complaints: list[str]) -> None:
        """Begin at `step`. follow: whether each row is trained on once; about: what its checkpoint says of what was
        measured before; complaints: what was wrong with what it began from."""
        self.seconds = float(about.get("train_seconds", 0.0))
        self._staleness = Counter({int(versions): count for versions, count in about.get("staleness", {}).items()})
        self._prequential = Prequential(about.get("prequential", {})) if follow else None
        self._events: list[Event] = [{"event": "start", "step": step, "complaints": complaints}]
        self._since_record, self._since_report = Stretch(), Stretch()

    def applied(self, row_stats: RowStats, seconds: float, staleness: int = 0) -> None:
        """A step was applied, after so many seconds, by a gradient so many versions old."""
        self.seconds += seconds
        self._staleness[staleness] += 1
        if self._prequential:
            self._prequential.add(row_stats)
        for stretch in (self._since_record, self._since_report):
            stretch.add(row_stats, seconds, staleness)

    def progress(self, step: int, plan: Plan, pool: PoolStats, waits: WaitTimes, *, last: bool) -> None:
        """Note how far it is, where it has moved: a number of times an epoch and at the last step."""
        if not self._since_record.rows or (step % plan.steps_per_epoch % _record_every(plan) and not last):
            return
        stretch, self._since_record = self._since_record, Stretch()
        self._note(
            "progress",
            step,
            epoch=step / plan.steps_per_epoch,
            rows=plan.rows_before(step),
            error=stretch.error,
            mistakes=stretch.mistaken,
            **self.tested_first,
            rows_per_second=stretch.speed,
            seconds=self.seconds,
            staleness=spread(stretch.staleness),
            workers=pool.workers,
            # A full queue makes its sender wait: the plan for a place among the units; a worker, whose credits are its
            # places among the gradients, for its next unit.
            queues={
                "units": {"depth": pool.depth, "high_water": pool.high_water, "blocked_seconds": waits.full_queue},
                "gradients": {
                    "depth": pool.unread,
                    "high_water": pool.unread_high_water,
                    "blocked_seconds": waits.units,
                },
            },
            wait_seconds=waits.results,
            reissued=pool.reissued,
        )

    def next_record(self, step: int, plan: Plan) -> int:
        """The first position behind `step` that is noted, unless the epoch ends before."""
        every = _record_every(plan)
        return step + every - step % plan.steps_per_epoch % every

    def epoch(self, step: int, plan: Plan, found: Evaluation) -> None:
        """An epoch is complete, and was tested."""
        self._note("epoch", step, epoch=plan.epoch(step), **found.about(), seconds=self.seconds)

    def checkpoint(self, step: int, seconds: float, chain: str) -> None:
        """A checkpoint was written, in so many seconds; chain: the digest of its link."""
        self._note("checkpoint", step, seconds=seconds, chain=chain)

    def about(self) -> dict[str, Any]:
        """What a checkpoint says of what was measured, as JSON."""
        about = {"prequential": self._prequential.about()} if self._prequential else {}
        return {"train_seconds": self.seconds, "staleness": self.stale["histogram"], **about}

    @property
    def stale(self) -> dict[str, Any]:
        """The staleness of all updates, as JSON."""
        return spread(self._staleness)

    @property
    def tested_first(self) -> dict[str, Any]:
        """The prequential error, as JSON; nothing where rows are trained on more than once, or there was none."""
        return {"prequential": self._prequential.found} if self._prequential and self._prequential.rows else {}

    @property
    def prequential(self) -> float:
        """The prequential error of the newest rows; nan where rows are trained on more than once."""
        return self._prequential.window.mistaken if self._prequential else math.nan

    def report(self) -> tuple[Stretch, list[Event]]:
        """What was measured and what happened since the last report."""
        stretch, self._since_report = self._since_report, Stretch()
        events, self._events = self._events, []
        return stretch, events

    def _note(self, event: str, step: int, **what: Any) -> None:
        self._events.append({"event": event, "step": step, **what})


def _record_every(plan: Plan) -> int:
    """Steps between progress lines."""
    return math.ceil(plan.steps_per_epoch / RECORDS_PER_EPOCH)
