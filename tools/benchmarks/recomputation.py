"""Speed of verify and replay, compared with training in one process."""

from functools import partial
from pathlib import Path

import ddmlp
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target, seconds_of
from tools.benchmarks.processes import in_process, length, train
from tools.benchmarks.record import Entry

HIDDEN, BATCH, STALENESS = 300, 64, 4
LONGER = 4  # times settings.seconds, because hashing the dataset takes the same time for a short run
OURS, VERIFY, REPLAY = "training in one process", "verify", "replay of 2 workers' asynchronous run"


def training(data: Path, **settings: object) -> dict[str, float]:
    return {"rows/s": train(data, workers=0, **settings)["rows_per_second"]}


def recomputation(name: str, run: Path, rows: int) -> dict[str, float]:
    """Return the rows/s at which this process recomputes a run with this number of rows."""
    return {"rows/s": rows / seconds_of(getattr(ddmlp, name), run)["seconds"]}


def cases(settings: Settings) -> Cases:
    flags: dict[str, object] = {"microbatch": BATCH}
    flags |= length(settings.data, HIDDEN, BATCH, LONGER * settings.seconds)
    one, two = (settings.scratch / name for name in ("one", "two"))
    recomputed = {
        VERIFY: ("verify", one, train(settings.data, workers=0, run=one, **flags)),
        REPLAY: ("replay", two, train(settings.data, workers=2, run=two, staleness=STALENESS, **flags)),
    }
    found = {
        name: partial(in_process, recomputation, how, run, done["rows"])
        for name, (how, run, done) in recomputed.items()
    }
    yield "", {OURS: partial(training, settings.data, **flags), **found}


def targets(entry: Entry) -> list[Target]:
    return [Target(f"{name} to {OURS}", entry.ratio("", name, OURS), 0.9) for name in (VERIFY, REPLAY)]


BENCHMARK = Benchmark("verify-replay", cases, targets, of=OURS)
