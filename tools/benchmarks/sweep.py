"""The sweep: trainings that each differ in a setting from one in the middle."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tools.benchmarks.cost_model import Step

SEVERAL = 2  # workers with which every other setting is swept, besides one process
VALUES = {"batch": (64, 256, 1024, 4096), "hidden": (100, 300, 800), "times": (0.1, 1, 10), "workers": (0, 1, 2, 4)}
SETTINGS = {
    "batch": "rows of a step",
    "hidden": "hidden units",
    "times": "rows of the dataset, to MNIST's",
    "workers": "workers (0: one process)",
}


@dataclass(frozen=True)
class Point:
    """A training. batch: rows of a step; hidden: n; times: rows of the dataset, to those of MNIST; workers: on Ray, 0
    for one process."""

    batch: int = 1024
    hidden: int = 300
    times: float = 1
    workers: int = 0

    @property
    def microbatch(self) -> int:
        """Its rows: as many as fit the caches, and few enough for two workers to share a step."""
        return min(128, max(1, self.batch // 2))

    def step(self, ends: int) -> Step:
        """A step of it, where inputs and outputs together are so many."""
        return Step(self.batch, self.microbatch, ends * self.hidden, self.workers)


def sweep() -> list[Point]:
    """The points, each once."""
    return list(dict.fromkeys(point for name in VALUES for point in along(name)))


def along(name: str) -> Iterator[Point]:
    """The points that differ from the middle in the setting `name`, and in whether there are workers."""
    for value in VALUES[name]:
        changed = Point(**{name: value})  # type: ignore[arg-type]  # int or float, as the setting is
        yield changed
        if name != "workers":
            yield replace(changed, workers=SEVERAL)
