"""Rows a second as batch, network, data and workers grow, and what a step costs."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings
from tools.benchmarks.cost_model import CostModel, Step
from tools.benchmarks.enlarged_mnist import enlarge
from tools.benchmarks.processes import rows_of, train_speed
from tools.benchmarks.record import Entry

SEVERAL = 2  # workers with which every other setting is swept, besides one process
VALUES = {"batch": (64, 256, 1024, 4096), "hidden": (100, 300, 800), "times": (0.1, 1, 10), "workers": (0, 1, 2, 4)}
ENDS = 794  # inputs and outputs


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
        about = (settings.data if point.times == 1 else data(point.times), point.hidden, point.batch, settings.seconds)
        flags = {"microbatch": point.step.microbatch, "workers": point.workers}
        case, name = point.names
        found.setdefault(case, {})[name] = partial(train_speed, *about, **flags)
    return found.items()


def measured(entry: Entry) -> dict[Point, list[float]]:
    """Rows a second of the points."""
    return {point: found for point in sweep() if (found := entry.get(*point.names))}


def fit(entry: Entry) -> CostModel:
    """The model of a step's cost on the machine that was measured."""
    cores = int(entry.environment["cores"])
    return CostModel.fit([(p.step.on_cores(cores), p.batch / median(found)) for p, found in measured(entry).items()])


def predicted(entry: Entry) -> dict[tuple[str, str], float]:
    """The rows a second that the model expects, by case and baseline."""
    model, cores = fit(entry), int(entry.environment["cores"])
    return {point.names: point.batch / model.seconds(point.step.on_cores(cores)) for point in measured(entry)}


def by_the_model(entry: Entry, *names: str) -> str:
    return next((f"{speed:,.0f}" for each, speed in predicted(entry).items() if each == names), "")


BENCHMARK = Benchmark("growth", cases, of="ddmlp, 0 workers", column=("by the model", by_the_model))
