"""What training on full MNIST comes to, with a seed of its own in each repeat: accuracy, modes, and checkpoints."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from statistics import mean, stdev
from typing import Any

from tools.benchmarks.benchmark import Benchmark, Cases, Settings
from tools.benchmarks.page import table
from tools.benchmarks.processes import train
from tools.benchmarks.record import Entry

ERROR = "test error, %"
Look = Callable[[dict[str, Any]], dict[str, float]]  # at a result
MODES: dict[str, dict[str, object]] = {"synchronous": {}, "--delay 1": {"delay": 1}}
MODES |= {f"--staleness {bound}": {"staleness": bound} for bound in (1, 4, 16, "inf")}


def error(result: dict[str, Any]) -> dict[str, float]:
    return {ERROR: 100 * result["test_error"]}


def mode(result: dict[str, Any]) -> dict[str, float]:
    stale = {f"staleness, {name}": result["staleness"][name] for name in ("mean", "max")}
    return {"rows/s": result["rows_per_second"], **error(result), **stale}


def checkpoints(result: dict[str, Any]) -> dict[str, float]:
    seconds = result["checkpoints"]
    share = 100 * sum(seconds) / result["train_seconds"]
    return {"checkpoints": len(seconds), "ms each": 1000 * mean(seconds), "% of the training time": share}


def training(settings: Settings, look: Look, seeds: Iterator[int], flags: dict[str, object]) -> dict[str, float]:
    """What `look` finds in the result of a training with the next seed."""
    return look(train(settings.data, seed=next(seeds), **flags))


def cases(look: Look, settings: Settings, **flags: object) -> Cases:
    yield "", {"ddmlp": partial(training, settings, look, count(), flags)}


def mode_cases(settings: Settings) -> Cases:
    for workers in (1, 2, 4):
        flags = {name: {"epochs": 5, "workers": workers, **more} for name, more in MODES.items()}
        yield (
            f"{workers} workers",
            {name: partial(training, settings, mode, count(), each) for name, each in flags.items()},
        )


def deviations(entry: Entry) -> str:
    """The mean and the standard deviation of the test errors."""
    figures = [
        (case, name, found[ERROR]) for case, each in entry.figures.items() for name, found in each.items() if found
    ]
    rows = [(*names, f"{mean(found):.2f} ± {stdev(found) if found[1:] else 0:.2f} %") for *names, found in figures]
    return table(["", "", "test error, mean ± standard deviation"], rows)


TEXT = "The default settings, with another seed in each repeat"
BENCHMARKS = (
    Benchmark("accuracy", "Accuracy", f"{TEXT}.", partial(cases, error), notes=deviations),
    Benchmark("modes", "Modes", f"{TEXT}, and 5 epochs.", mode_cases, notes=deviations, of="synchronous"),
    Benchmark("checkpoints", "Checkpoints", f"{TEXT}, and 3 epochs.", partial(cases, checkpoints, epochs=3)),
)
