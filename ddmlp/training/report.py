"""The report of a trainer: its progress, and what happened since the last report."""

from dataclasses import dataclass
from datetime import datetime

from ddmlp.runs.events import Event
from ddmlp.runs.lag import Lag
from ddmlp.runs.result import RunResult
from ddmlp.training.worker_pool import UNRESPONSIVE, LostWorker


@dataclass(frozen=True)
class Report:
    """The progress of a trainer.

    Parameters
    ----------
    step : int
        The number of steps applied.
    steps : int or None
        The number of steps at the end; None if that is not known.
    epoch : int
        The number of complete epochs.
    epochs : int or None
        The number of epochs at the end; None for a stream.
    rows : int
        The number of rows applied, over all epochs.
    error : float
        The mean error E per row since the last report; NaN if no row was trained on.
    rows_per_second : float
        The speed since the last report; 0 if no row was trained on.
    trained : int
        Rows trained on since the last report.
    updates : dict of int to int
        Steps applied since the last report, by their staleness.
    prequential : float
        The fraction of the newest rows that were misclassified before they were trained on; NaN if rows are trained on
        more than once.
    asynchronous : bool
        Whether training is asynchronous.
    staleness : tuple of (float, int)
        The mean and the maximum since the last report, in versions.
    idle : float
        Seconds for which the trainer has been waiting for rows.
    depth : int
        The most units that were open at a time.
    workers : int
        The number of workers.
    overdue : int
        The number of workers that are overdue now.
    lost : list of LostWorker
        Workers that were lost or rejected since the last report.
    events : list of Event
        Events for metrics.jsonl.
    result : RunResult or None
        The result of the run, if training has ended.
    trained_to : datetime or None
        The event time that the applied steps reach; see `TrainingData.trained_to`.
    lag : Lag or None
        How far the run is behind its stream; None if that is not known.
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
    trained_to: datetime | None = None
    lag: Lag | None = None

    @property
    def hung(self) -> list[int]:
        """The workers that were lost because they do not answer: their processes may still be alive."""
        return [each.worker for each in self.lost if each.cause == UNRESPONSIVE]

    @property
    def done(self) -> bool:
        """Whether training has ended."""
        return self.result is not None
