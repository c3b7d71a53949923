"""Rows a second as batch, network, data and workers grow, and what a step costs.

![Four plots of rows a second, measured and by the model: against the rows of a step, the hidden units, the rows of the
dataset, and the workers. The figures are in the table below.](growth.svg)

Each is a training by the command; one setting differs from those in the middle. Microbatches have 128 rows, and half of
a batch that is too small for two of them.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings
from tools.benchmarks.cost_model import CostModel, Step
from tools.benchmarks.enlarged_mnist import enlarge
from tools.benchmarks.forecast import forecast
from tools.benchmarks.page import number, table
from tools.benchmarks.processes import rows_of, train_speed
from tools.benchmarks.record import Entry

SEVERAL = 2  # workers with which every other setting is swept, besides one process
VALUES = {"batch": (64, 256, 1024, 4096), "hidden": (100, 300, 800), "times": (0.1, 1, 10), "workers": (0, 1, 2, 4)}
ENDS = 794  # inputs and outputs
# What a term counts, and how many of it are shown: costs range from nanoseconds to milliseconds.
UNITS = {
    "a step, whatever its size": 1,
    "a row: read, scaled, scored": 1,
    "a row's matrix products, for 1,000 weights": 1000,
    "a pass over 1,000 weights: a gradient written, added, applied": 1000,
    "a unit handed out and answered": 1,
}
TEXT = """The model: the seconds of a step are the work on its critical path, arithmetic, messages and reduction, times
what each costs, fitted to the measurements by least squares of the relative errors; the mean error is {error:.1f} %
([tools/benchmarks/cost_model.py](../../../tools/benchmarks/cost_model.py)). A term of no cost is one that the others
account for."""


class Point(NamedTuple):
    """A training. batch: rows of a step; hidden: n; times: rows of the dataset, to those of MNIST; workers: on Ray, 0
    for one process."""

    batch: int = 1024
    hidden: int = 300
    times: float = 1
    workers: int = 0

    @property
    def names(self) -> tuple[str, str]:
        """Case and baseline."""
        case = f"batch {self.batch}, {self.hidden} hidden, {self.times:g} times MNIST"
        return case, f"ddmlp, {self.workers} workers"

    @property
    def step(self) -> Step:
        """With microbatches that fit the caches, and are small enough for two workers to share a step."""
        return Step(self.batch, min(128, max(1, self.batch // 2)), ENDS * self.hidden, self.workers)


def along(name: str) -> Iterator[Point]:
    """The points that differ from the middle in the setting `name`, and in whether there are workers."""
    for value in VALUES[name]:
        for workers in (value,) if name == "workers" else (0, SEVERAL):
            yield Point(**{name: value, "workers": workers})  # type: ignore[arg-type]


def sweep() -> list[Point]:
    """The points, each once."""
    return list(dict.fromkeys(point for name in VALUES for point in along(name)))


def cases(settings: Settings) -> Cases:
    def data(times: float) -> Path:
        out = settings.scratch / f"times-{times:g}"
        return out if out.exists() else enlarge(settings.data, round(times * rows_of(settings.data)), out)

    found: dict[str, dict[str, Measure]] = {}
    for point in sweep():
        step, (case, name) = point.step, point.names
        about = (settings.data if point.times == 1 else data(point.times), point.hidden, point.batch, settings.seconds)
        address = {"address": "local"} if point.workers else {}
        train = partial(train_speed, *about, microbatch=step.microbatch, workers=point.workers, **address)
        found.setdefault(case, {})[name] = train
    return found.items()


def measured(entry: Entry) -> dict[Point, list[float]]:
    """Rows a second of the points."""
    return {point: found for point in sweep() if (found := entry.get(*point.names, "rows/s"))}


def predicted(entry: Entry) -> tuple[CostModel, dict[Point, float]]:
    """The model of a step's cost on the machine that was measured, and the rows a second that it expects."""
    work = {point: point.step.on_cores(int(entry.environment["cores"])) for point in measured(entry)}
    model = CostModel.fit([(work[point], point.batch / median(found)) for point, found in measured(entry).items()])
    return model, {point: point.batch / model.seconds(each) for point, each in work.items()}


def column(entry: Entry, *names: str) -> str:
    return next((number(speed) for point, speed in predicted(entry)[1].items() if point.names == names), "")


def notes(entry: Entry) -> str:
    model, _ = predicted(entry)
    costs = [(what, f"{number(1e6 * cost * n)} µs") for cost, (what, n) in zip(model.costs, UNITS.items(), strict=True)]
    text, clusters = TEXT.format(error=100 * model.error), forecast(model, ENDS * Point().hidden)
    return "\n\n".join([text, table(["what", "costs"], costs), clusters])


def draw(entry: Entry, folder: Path) -> None:
    from tools.benchmarks.growth_plot import plot

    plot(measured(entry), predicted(entry)[1], folder / "growth.svg")


MODEL = ("by the model", column)
OF = "ddmlp, 0 workers"
BENCHMARK = Benchmark("growth", "Cost as work grows", __doc__, cases, notes=notes, draw=draw, of=OF, column=MODEL)
