"""What a trainer reports of how far it is."""

from dataclasses import dataclass

from ddmlp.runs.events import Event
from ddmlp.runs.result import RunResult
from ddmlp.training.worker_pool import UNRESPONSIVE, LostWorker


@dataclass(frozen=True)
class Report:
    """How far a trainer is.

    steps: that it will have done at the end, None where that is not known; epoch: how many are complete, of `epochs`,
    None where there are none; rows: that are applied; error, rows_per_second: the mean of E and the speed since the
    last report, nan and 0 where no row was trained on; trained, updates: rows trained on and, by their staleness, steps
    applied since the last report; prequential: the fraction of the newest rows that was recognised wrongly before they
    were trained on, nan where rows are trained on more than once; asynchronous: whether the order of updates is not the
    plan's; staleness: mean and maximum since the last report; idle: seconds that it has been waiting for rows; depth:
    the most units that were on the books of the queue at a time; workers: how many there are; overdue: those that are
    slow now; lost: workers that were lost or rejected since the last report; events: what belongs into metrics.jsonl;
    result: where the trainer is where it was to end, what there is to say of the run.
    """

    step: int
    steps: int | None
    epoch: int
    epochs: int | None
    rows: int
    error: float
    rows_per_second: float
    trained: int
    updates: dict[int, int]
    prequential: float
    asynchronous: bool
    staleness: tuple[float, int]
    idle: float
    depth: int
    workers: int
    overdue: int
    lost: list[LostWorker]
    events: list[Event]
    result: RunResult | None

    @property
    def hung(self) -> list[int]:
        """The workers that were lost because they do not answer: they may be there."""
        return [each.worker for each in self.lost if each.cause == UNRESPONSIVE]

    @property
    def done(self) -> bool:
        return self.result is not None
