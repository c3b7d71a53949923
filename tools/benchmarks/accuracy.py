"""Test error, modes and checkpoints of training on full MNIST, with another seed in each repeat."""

from collections.abc import Iterator
from functools import partial
from itertools import count
from statistics import mean, stdev
from typing import Any

from tools.benchmarks.benchmark import Benchmark, Cases, Settings
from tools.benchmarks.processes import train
from tools.benchmarks.record import Entry

ERROR = "test error, %"
MODES: dict[str, dict[str, object]] = {"synchronous": {}, "--delay 1": {"delay": 1}}
MODES |= {f"--staleness {bound}": {"staleness": bound} for bound in (1, 4, 16, "inf")}
SHARED: dict[str, Any] = {"batch": 64, "microbatch": 16, "lr": 1.0, "epochs": 5}  # four workers share a step


def training(settings: Settings, seeds: Iterator[int], **flags: object) -> dict[str, float]:
    """Train with the next seed; return the figures."""
    result = train(settings.data, seed=next(seeds), **flags)
    checkpoints, stale = result["checkpoints"], result["staleness"]
    return {
        "rows/s": result["rows_per_second"],
        ERROR: 100 * result["test_error"],
        "staleness, mean": stale["mean"],
        "staleness, max": stale["max"],
        "checkpoints": len(checkpoints),
        "ms each": 1000 * mean(checkpoints),
        "% of the training time": 100 * sum(checkpoints) / result["train_seconds"],
    }


def cases(settings: Settings, **flags: object) -> Cases:
    yield "", {"ddmlp": partial(training, settings, count(), **flags)}


def mode_cases(settings: Settings) -> Cases:
    for workers in (1, 2, 4):
        ours = partial(training, settings, workers=workers, **SHARED)
        yield f"{workers} workers", {name: partial(ours, count(), **flags) for name, flags in MODES.items()}


def deviation(entry: Entry, case: str, name: str) -> str:
    found = entry.get(case, name, ERROR)
    return f"{mean(found):.2f} ± {stdev(found) if found[1:] else 0:.2f} %" if found else ""


COLUMN = "mean ± standard deviation of the test error", deviation
BENCHMARKS = (
    Benchmark("accuracy", cases, column=COLUMN),
    Benchmark("modes", mode_cases, of="synchronous", column=COLUMN),
    Benchmark("checkpoints", partial(cases, epochs=3)),
)
