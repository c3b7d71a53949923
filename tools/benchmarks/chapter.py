"""A chapter of the benchmark: what is measured, how it is shown, and what the figures are to reach."""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

Found = dict[str, Any]  # what a chapter measured, as JSON can hold it: every repeat of every figure
Figures = list[float] | None  # a figure for each repeat; None where what is measured is not installed


@dataclass(frozen=True)
class Setting:
    """data: a folder with train/ and test/; repeats: of every figure; seconds: for which a contestant is timed, at
    least and about; scratch: a folder that is removed afterwards; mnist: a folder with MNIST's IDX files, if there is
    one."""

    data: Path
    repeats: int
    seconds: float
    scratch: Path
    mnist: Path | None = None


class Spread(NamedTuple):
    """Of the figures of several repeats."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        return cls(statistics.median(figures), min(figures), max(figures))

    def shown(self, form: str = ",.0f") -> str:
        return f"{self.median:{form}} ({self.lowest:{form}} to {self.highest:{form}})"


def median_ratio(a: Figures, b: Figures) -> Spread | None:
    """a / b, repeat by repeat, so that a drift of the machine cancels; None where either is not installed."""
    if a is None or b is None:
        return None
    return Spread.of([one / other for one, other in zip(a, b, strict=True)])


@dataclass(frozen=True)
class Bar:
    """What a figure is to reach: `least` or more, or `most` or less. found: None where it could not be measured."""

    what: str
    found: Spread | None
    least: float | None = None
    most: float | None = None
    unit: str = ""

    @property
    def asked(self) -> str:
        bound, words = (self.most, "at most") if self.least is None else (self.least, "at least")
        return f"{words} {bound:g} {self.unit}".rstrip()

    @property
    def reached(self) -> bool:
        if self.found is None:
            return False
        low = -float("inf") if self.least is None else self.least
        high = float("inf") if self.most is None else self.most
        return low <= self.found.median <= high

    @property
    def verdict(self) -> str:
        if self.found is None:
            return "not measured"
        if self.reached:
            return "reached"
        short = self.found.median / self.most - 1 if self.most else 1 - self.found.median / (self.least or 1)
        return f"missed by {short:.1%}".replace("%", " %")

    @property
    def row(self) -> list[str]:
        """Its line of a table."""
        found = "not measured" if self.found is None else f"{self.found.shown('.3g')} {self.unit}".rstrip()
        return [self.what, self.asked, found, self.verdict]


def no_bars(_found: Found) -> list[Bar]:
    return []


def no_pictures(_found: Found, _out: Path) -> None:
    """Where a chapter has none."""


@dataclass(frozen=True)
class Chapter:
    """name: on the command line and in the JSON file; measure: takes the time; show, bars and draw: the Markdown below
    the title, what the figures are to reach, and the pictures in the page's folder, all three made of what `measure`
    found and of nothing else."""

    name: str
    title: str
    measure: Callable[[Setting], Found]
    show: Callable[[Found], str]
    bars: Callable[[Found], list[Bar]] = no_bars
    draw: Callable[[Found, Path], None] = no_pictures


def interleaved(
    contestants: Mapping[str, Callable[[], float] | None], repeats: int, about: str = ""
) -> dict[str, Figures]:
    """The figures of contestants that take turns, repeat by repeat: a machine whose speed drifts is fair to all.

    One that is None is not installed, and has no figures. about: what is said before its name as it goes on.
    """
    found: dict[str, Figures] = {name: contestant and [] for name, contestant in contestants.items()}
    for repeat in range(repeats):
        for name, contestant in contestants.items():
            figures = found[name]
            if contestant is None or figures is None:
                continue
            figures.append(contestant())
            print(f"  {repeat + 1} of {repeats}: {about}{name}: {figures[-1]:,.4g}", file=sys.stderr, flush=True)
    return found


def installed(*modules: str) -> bool:
    """Whether all of these optional packages can be imported."""
    return all(find_spec(module) for module in modules)
