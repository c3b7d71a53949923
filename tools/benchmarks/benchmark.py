"""A benchmark: what to measure, how, and the targets for the figures."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from tools.benchmarks.record import Entry, Quantities

# Measures once; returns a figure for each quantity, such as {"rows/s": 9000.0}.
Measure = Callable[[], Mapping[str, float]]
Cases = Iterable[tuple[str, Mapping[str, Measure | None]]]  # the baselines of each case; None: not installed


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Parameters
    ----------
    data : Path
        Folder with the datasets train/ and test/.
    repeats : int
        Repeats of every figure.
    seconds : float
        Approximate duration of one measurement of a baseline.
    scratch : Path
        Folder for temporary files.
    mnist : Path, optional
        Folder with MNIST's IDX files.
    """

    data: Path
    repeats: int
    seconds: float
    scratch: Path
    mnist: Path | None = None


@dataclass(frozen=True)
class Target:
    """A bound for the median of `figures`: at least `least`, or at most `most`. `figures` is None if not measured."""

    what: str
    figures: Sequence[float] | None
    least: float = -inf
    most: float = inf

    @property
    def required(self) -> str:
        return f"at least {self.least:g}" if self.most == inf else f"at most {self.most:g}"

    @property
    def verdict(self) -> str:
        if self.figures is None:
            return "not measured"
        median = statistics.median(self.figures)
        if self.least <= median <= self.most:
            return "reached"
        short = 1 - median / self.least if median < self.least else median / self.most - 1
        return f"missed by {100 * short:.1f} %"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, with its table on the page.

    Parameters
    ----------
    name : str
        The name on the command line and in the record. page.md.j2 has the text of its section.
    cases : callable
        Returns the cases and what to measure in each.
    targets : callable
        Computes the targets from the record.
    of, faster : str
        Baselines for ratios in the table: each row divided by `of`, and `faster` divided by each row.
    column : (str, callable), optional
        The title of an additional column, and a function of the record, case and baseline for its cells.
    """

    name: str
    cases: Callable[[Settings], Cases]
    targets: Callable[[Entry], list[Target]] = lambda _entry: []
    of: str = ""
    faster: str = ""
    column: tuple[str, Callable[[Entry, str, str], str]] | None = None

    def measure(self, settings: Settings) -> dict[str, dict[str, Quantities | None]]:
        """Measure all cases. Baselines alternate within each repeat, so a drift of the machine's speed affects all."""
        return {case: _interleave(case, baselines, settings.repeats) for case, baselines in self.cases(settings)}


def _interleave(case: str, baselines: Mapping[str, Measure | None], repeats: int) -> dict[str, Quantities | None]:
    found: dict[str, Quantities] = {name: {} for name in baselines}
    for repeat in range(1, repeats + 1):
        for name, measure in baselines.items():
            for quantity, figure in (measure() if measure else {}).items():
                found[name].setdefault(quantity, []).append(figure)
                where = ": ".join(filter(None, (f"{repeat} of {repeats}", case, name)))
                print(f"  {where}: {figure:,.4g} {quantity}", file=sys.stderr, flush=True)
    return {name: found[name] if measure else None for name, measure in baselines.items()}


def seconds_of(work: Callable[..., object], *arguments: Any) -> dict[str, float]:
    """Return the duration of a call of `work`."""
    start = time.perf_counter()
    work(*arguments)
    return {"seconds": time.perf_counter() - start}


def per_second(work: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how often `work` can be called per second, measured for `seconds` after a warm-up call."""
    work()
    done, start = 0, clock()
    while (passed := clock() - start) < seconds or not done:
        work()
        done += 1
    return done / passed
