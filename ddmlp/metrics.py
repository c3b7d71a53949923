"""What is measured while a run trains, and the events that go into metrics.jsonl."""

import math
from dataclasses import dataclass
from typing import Any

from ddmlp.evaluate import Evaluation
from ddmlp.job import Event
from ddmlp.ledger import Tally
from ddmlp.plan import Plan
from ddmlp.queues import UnitQueue

RECORDS_PER_EPOCH = 50  # progress lines in metrics.jsonl


@dataclass
class Stretch:
    """Sums over the steps of a stretch: rows, their errors E, their mistakes, and the seconds they took."""

    rows: int = 0
    errors: float = 0.0
    mistakes: int = 0
    seconds: float = 0.0

    def add(self, tally: Tally, seconds: float) -> None:
        """Add a step's sums."""
        self.rows += tally.rows
        self.errors += tally.error
        self.mistakes += tally.mistakes
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


class Journal:
    """The events of a trainer, until its next report, and what it has measured."""

    def __init__(self, plan: Plan, step: int, seconds: float, complaints: list[str]) -> None:
        """Begin at `step`, after `seconds` of training before; complaints: what was wrong with what it began from."""
        self.seconds, self.waited = seconds, 0.0  # of training; of it, waiting for answers
        self._plan = plan
        self._every = math.ceil(plan.steps_per_epoch / RECORDS_PER_EPOCH)
        self._events: list[Event] = [{"event": "start", "step": step, "complaints": complaints}]
        self._since_record, self._since_report = Stretch(), Stretch()

    def applied(self, tally: Tally, seconds: float) -> None:
        """A step was applied, after so many seconds."""
        self.seconds += seconds
        for stretch in (self._since_record, self._since_report):
            stretch.add(tally, seconds)

    def progress(self, step: int, workers: int, queue: UnitQueue, *, last: bool) -> None:
        """Note how far it is, a number of times an epoch and at the last step."""
        if step % self._plan.steps_per_epoch % self._every and not last:
            return
        stretch, self._since_record = self._since_record, Stretch()
        self._note(
            "progress",
            step,
            epoch=step / self._plan.steps_per_epoch,
            rows=self._plan.rows_before(step),
            error=stretch.error,
            mistakes=stretch.mistaken,
            rows_per_second=stretch.speed,
            seconds=self.seconds,
            workers=workers,
            queue={"high_water": queue.high_water, "reissued": queue.reissued, "wait_seconds": self.waited},
        )

    def epoch(self, step: int, found: Evaluation) -> None:
        """An epoch is complete, and was tested."""
        tested = {"test_error": found.error, "test_cross_entropy": found.cross_entropy}
        self._note("epoch", step, epoch=self._plan.epoch(step), **tested, seconds=self.seconds)

    def checkpoint(self, step: int, seconds: float, chain: str) -> None:
        """A checkpoint was written, in so many seconds; chain: the digest of its link."""
        self._note("checkpoint", step, seconds=seconds, chain=chain)

    def report(self) -> tuple[Stretch, list[Event]]:
        """What was measured and what happened since the last report."""
        stretch, self._since_report = self._since_report, Stretch()
        events, self._events = self._events, []
        return stretch, events

    def _note(self, event: str, step: int, **what: Any) -> None:
        self._events.append({"event": event, "step": step, **what})
