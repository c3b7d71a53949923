"""A benchmark: a question, what measures the answer, and the targets that the figures are to reach."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tools.benchmarks.record import Entry, Quantities

Measure = Callable[[], Mapping[str, float]]  # measures once; returns figures by quantity, such as {"rows/s": 9000.0}
Cases = Iterable[tuple[str, Mapping[str, Measure | None]]]  # of each case the baselines; None: not installed


@dataclass(frozen=True)
class Settings:
    """data: folder with train/ and test/; repeats: of every figure; seconds: how long a baseline is timed, about;
    scratch: folder that is removed afterwards; mnist: folder with MNIST's IDX files, if there is one."""

    data: Path
    repeats: int
    seconds: float
    scratch: Path
    mnist: Path | None = None


@dataclass(frozen=True)
class Target:
    """The median of `figures` is to be `least` or more, or `most` or less. figures: None if it was not measured."""

    what: str
    figures: Sequence[float] | None
    least: float = -float("inf")
    most: float = float("inf")
    unit: str = ""

    @property
    def asked(self) -> str:
        bound = f"at least {self.least:g}" if self.most == float("inf") else f"at most {self.most:g}"
        return f"{bound} {self.unit}".rstrip()

    @property
    def met(self) -> bool:
        return self.figures is not None and self.least <= statistics.median(self.figures) <= self.most

    @property
    def verdict(self) -> str:
        if self.figures is None:
            return "not measured"
        if self.met:
            return "reached"
        median = statistics.median(self.figures)
        short = 1 - median / self.least if median < self.least else median / self.most - 1
        return f"missed by {100 * short:.1f} %"


@dataclass(frozen=True)
class Benchmark:
    """name: on the command line and in the record; text: Markdown above the table; cases: what is measured; targets and
    notes: made of the record alone, notes being Markdown below the table; of, faster: the baseline that each row of the
    table is divided by, and the one that is divided by each row; column:
    one more, of the record, case and baseline; draw: writes pictures into the page's folder."""

    name: str
    title: str
    text: str
    cases: Callable[[Settings], Cases]
    targets: Callable[[Entry], list[Target]] = lambda _entry: []
    of: str = ""
    faster: str = ""
    column: tuple[str, Callable[[Entry, str, str], str]] | None = None
    notes: Callable[[Entry], str] = lambda _entry: ""
    draw: Callable[[Entry, Path], None] = lambda _entry, _folder: None

    def measure(self, settings: Settings) -> dict[str, dict[str, Quantities | None]]:
        """The figures of all cases."""
        return {case: interleave(each, settings.repeats, case) for case, each in self.cases(settings)}


def interleave(baselines: Mapping[str, Measure | None], repeats: int, case: str = "") -> dict[str, Quantities | None]:
    """The figures of baselines that take turns, repeat by repeat: a machine whose speed drifts is fair to all."""
    found: dict[str, Quantities | None] = {name: measure and {} for name, measure in baselines.items()}
    for repeat in range(1, repeats + 1):
        for name, measure in baselines.items():
            quantities = found[name]
            if measure is None or quantities is None:
                continue
            for quantity, figure in measure().items():
                quantities.setdefault(quantity, []).append(figure)
                where = ": ".join(filter(None, (f"{repeat} of {repeats}", case, name)))
                print(f"  {where}: {figure:,.4g} {quantity}", file=sys.stderr, flush=True)
    return found


def per_second(work: Callable[[], int], seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """How much `work` does a second, as it counts it, over `seconds` or a little more, after a warm-up call."""
    work()
    done, start = 0, clock()
    while (passed := clock() - start) < seconds or not done:
        done += work()
    return done / passed


def installed(*modules: str) -> bool:
    """Whether all of these optional packages can be imported."""
    return all(find_spec(module) for module in modules)
