"""A benchmark: a question, what measures the answer, and the targets that the figures are to reach."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

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
    least: float = -inf
    most: float = inf

    @property
    def asked(self) -> str:
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
    """name: on the command line, in the record and on the page, whose text about it is in page.md.j2; cases: what is
    measured; targets: made of the record alone; of, faster: the baseline that each row of the table is divided by, and
    the one that is divided by each row; column: one more, of the record, case and baseline."""

    name: str
    cases: Callable[[Settings], Cases]
    targets: Callable[[Entry], list[Target]] = lambda _entry: []
    of: str = ""
    faster: str = ""
    column: tuple[str, Callable[[Entry, str, str], str]] | None = None

    def measure(self, settings: Settings) -> dict[str, dict[str, Quantities | None]]:
        """The figures of all cases. The baselines of each take turns, repeat by repeat: a machine whose speed drifts is
        fair to all."""
        return {case: _take_turns(case, baselines, settings.repeats) for case, baselines in self.cases(settings)}


def _take_turns(case: str, baselines: Mapping[str, Measure | None], repeats: int) -> dict[str, Quantities | None]:
    found: dict[str, Quantities] = {name: {} for name in baselines}
    for repeat in range(1, repeats + 1):
        for name, measure in baselines.items():
            for quantity, figure in (measure() if measure else {}).items():
                found[name].setdefault(quantity, []).append(figure)
                where = ": ".join(filter(None, (f"{repeat} of {repeats}", case, name)))
                print(f"  {where}: {figure:,.4g} {quantity}", file=sys.stderr, flush=True)
    return {name: found[name] if measure else None for name, measure in baselines.items()}


def seconds_of(work: Callable[..., object], *arguments: Any) -> dict[str, float]:
    """How long `work` takes."""
    start = time.perf_counter()
    work(*arguments)
    return {"seconds": time.perf_counter() - start}


def per_second(work: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """How many times `work` can be done a second, over `seconds` or a little more, after a warm-up call."""
    work()
    done, start = 0, clock()
    while (passed := clock() - start) < seconds or not done:
        work()
        done += 1
    return done / passed
