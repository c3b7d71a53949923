"""Rows a second as batch, network, data and workers grow, and what a step costs.

![Four plots of rows a second, measured and by the model: against the rows of a step, the hidden units, the rows of the
dataset, and the workers. The figures are in the table below.](growth.svg)

Each is a training by the command; one setting differs from those in the middle. Microbatches have 128 rows, and half of
a batch that is too small for two of them.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tools.benchmarks.benchmark import Benchmark, Cases, Settings
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

    batch: float = 1024
    hidden: float = 300
    times: float = 1
    workers: int = 0

    @property
    def names(self) -> tuple[str, str]:
        """Case and baseline."""
        case = f"batch {self.batch:g}, {self.hidden:g} hidden, {self.times:g} times MNIST"
        return case, f"ddmlp, {self.workers} workers"

    @classmethod
    def parse(cls, *names: str) -> "Point":
        return cls(*map(float, re.findall(r"[\d.]+", " ".join(names))))  # type: ignore[arg-type]

    @property
    def step(self) -> Step:
        """With microbatches that fit the caches, and are small enough for two workers to share a step."""
        microbatch = min(128, max(1, int(self.batch) // 2))
        return Step(int(self.batch), microbatch, ENDS * int(self.hidden), int(self.workers))


def along(name: str) -> Iterator[Point]:
    """The points that differ from the middle in the setting `name`, and in whether there are workers."""
    for value in VALUES[name]:
        for workers in (value,) if name == "workers" else (0, SEVERAL):
            yield Point(**{name: value, "workers": workers})  # type: ignore[arg-type]


def sweep() -> list[Point]:
    """The points, each once."""
    return list(dict.fromkeys(point for name in VALUES for point in along(name)))


def training(point: Point, data: Path, seconds: float) -> dict[str, float]:
    """rows/s of the training command."""
    step, more = point.step, {"address": "local"} if point.workers else {}
    settings = {"microbatch": step.microbatch, "workers": step.workers, **more}
    return {"rows/s": train_speed(data, step.rows, int(point.hidden), seconds, **settings)["rows_per_second"]}


def cases(settings: Settings) -> Cases:
    def data(times: float) -> Path:
        out = settings.scratch / f"times-{times:g}"
        return out if out.exists() else enlarge(settings.data, round(times * rows_of(settings.data)), out)

    found: dict[str, dict[str, partial[dict[str, float]]]] = {}
    for point in sweep():
        folder = settings.data if point.times == 1 else data(point.times)
        case, name = point.names
        found.setdefault(case, {})[name] = partial(training, point, folder, settings.seconds)
    return found.items()


def measured(entry: Entry) -> dict[Point, list[float]]:
    """Rows a second of the points."""
    return {
        Point.parse(case, name): entry.get(case, name, "rows/s") or []
        for case in entry.figures
        for name in entry.figures[case]
    }


def predicted(entry: Entry, *points: Point) -> tuple[CostModel, list[float]]:
    """The model of a step's cost on the machine that was measured, and the rows a second that it expects."""
    cores = int(entry.environment["cores"])
    model = CostModel.fit([(p.step.on_cores(cores), p.batch / median(found)) for p, found in measured(entry).items()])
    return model, [point.batch / model.seconds(point.step.on_cores(cores)) for point in points]


def column(entry: Entry, case: str, name: str) -> str:
    return number(predicted(entry, Point.parse(case, name))[1][0])


def notes(entry: Entry) -> str:
    model, _ = predicted(entry)
    costs = [(what, f"{number(1e6 * cost * n)} µs") for cost, (what, n) in zip(model.costs, UNITS.items(), strict=True)]
    text, clusters = TEXT.format(error=100 * model.error), forecast(model, ENDS * int(Point().hidden))
    return "\n\n".join([text, table(["what", "costs"], costs), clusters])


def draw(entry: Entry, folder: Path) -> None:
    from tools.benchmarks.growth_plot import plot

    points = measured(entry)
    plot(points, dict(zip(points, predicted(entry, *points)[1], strict=True)), folder / "growth.svg")


BENCHMARK = Benchmark(
    "growth",
    "Cost as work grows",
    __doc__,
    cases,
    notes=notes,
    draw=draw,
    of="ddmlp, 0 workers",
    column=("by the model", column),
)
