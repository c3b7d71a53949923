"""Speed as a function of batch, network, data and workers, and a model of a step's duration."""

from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings
from tools.benchmarks.cost_model import CostModel, Step, Terms
from tools.benchmarks.enlarged_mnist import enlarge
from tools.benchmarks.processes import rows_of, train_speed
from tools.benchmarks.record import Entry

MIDDLE = (1024, 300, 1.0)  # rows of a step, hidden units, size of the dataset relative to MNIST
SIZES = [(64, 300, 1.0), (256, 300, 1.0), MIDDLE, (4096, 300, 1.0), (1024, 100, 1.0), (1024, 800, 1.0)]
SIZES += [(1024, 300, 0.1), (1024, 300, 10.0)]
WORKERS, MORE = (0, 2), (1, 4)  # for each of these sizes; and additionally for the middle; 0: one process
ENDS = 794  # inputs and outputs


class Point(NamedTuple):
    """One measured training."""

    batch: int
    hidden: int
    times: float
    workers: int

    @property
    def names(self) -> tuple[str, str]:
        """The names of the case and the baseline."""
        case = f"batch {self.batch}, {self.hidden} hidden, {self.times:g} times MNIST"
        return case, f"ddmlp, {self.workers} workers"

    @property
    def step(self) -> Step:
        """The step, with microbatches that fit into the caches and let two workers share it."""
        return Step(self.batch, min(128, max(1, self.batch // 2)), ENDS * self.hidden, self.workers)

    def work(self, entry: Entry) -> Terms:
        """Return the work of a step on the machine of the entry."""
        return self.step.on_cores(int(entry.environment["cores"]))


def sweep() -> list[Point]:
    return [Point(*size, workers) for size in SIZES for workers in (*WORKERS, *(MORE if size == MIDDLE else ()))]


def cases(settings: Settings) -> Cases:
    def data(times: float) -> Path:
        if times == 1:
            return settings.data
        out = settings.scratch / f"times-{times:g}"
        return out if out.exists() else enlarge(settings.data, round(times * rows_of(settings.data)), out)

    found: dict[str, dict[str, Measure]] = {}
    for point in sweep():
        arguments = (data(point.times), point.hidden, point.batch, settings.seconds)
        flags = {"microbatch": point.step.microbatch, "workers": point.workers}
        case, name = point.names
        found.setdefault(case, {})[name] = partial(train_speed, *arguments, **flags)
    return found.items()


def fit(entry: Entry) -> CostModel:
    """Fit the cost model to the measurements."""
    measured = {point: speeds for point in sweep() if (speeds := entry.get(*point.names))}
    return CostModel.fit([(point.work(entry), point.batch / median(speeds)) for point, speeds in measured.items()])


def predicted_speed(entry: Entry, *names: str) -> str:
    """Return the rows/s that the model predicts for a case and baseline."""
    model = fit(entry)
    speeds = {point.names: point.batch / model.seconds(point.work(entry)) for point in sweep()}
    return next((f"{speed:,.0f}" for each, speed in speeds.items() if each == names), "")


BENCHMARK = Benchmark("growth", cases, of="ddmlp, 0 workers", column=("predicted", predicted_speed))
