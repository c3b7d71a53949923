"""How long it takes from the command to 98 % of the test rows right."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np

from ddmlp.nn.weights import Weights
from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings, Target
from tools.benchmarks.peers.baseline import Baseline, Rows, available, baseline
from tools.benchmarks.processes import in_process, train
from tools.benchmarks.record import Entry

GOAL, SEEDS = 0.98, 3  # the seeds take turns over the repeats
PARTS = 100  # of an epoch, each with a learning rate of its own
# Of hidden 200 to 800, batch 8 to 64, rates per row 1/64 to 1/8, and 5 to 12 epochs, those that were done first.
HIDDEN, BATCH, RATE, EPOCHS = 300, 16, 1.0, 6
LIMITS = {"PyTorch": (5, True), "scikit-learn": (30, False)}  # epochs, and whether the rate falls to zero over them
OURS = {"ddmlp, one process": 0, "ddmlp, 2 workers": 2}
PEERS = {f"{peer}, {n} thread{'s' * (n > 1)}": (peer, n) for peer in LIMITS for n in (1, 2)}
SECONDS, ERROR = "seconds", "test error, %"


def ours(data: Path, workers: int, seed: int) -> float:
    """The test error of the training command."""
    recipe = {"hidden": HIDDEN, "batch": BATCH, "microbatch": BATCH // max(1, workers), "lr": RATE, "epochs": EPOCHS}
    return float(train(data, workers=workers, seed=seed, **recipe)["test_error"])


def theirs(data: Path, name: str, seed: int) -> float:
    """The test error of a peer that is trained in this process."""
    rows, test = Rows.load(data / "train"), Rows.load(data / "test")
    peer = baseline(name)(rows, Weights.draw(rows.shape(HIDDEN), seed), BATCH, RATE)
    return 1 - train_to(GOAL, peer, len(rows.labels), test, seed, *LIMITS[name])


def train_to(goal: float, peer: Baseline, rows: int, test: Rows, seed: int, epochs: int, falling: bool) -> float:
    """The accuracy after the first epoch that reaches the goal, or after all. falling: the rate falls to zero over all
    epochs."""
    first, rng, accuracy = peer.rate, np.random.default_rng(seed), 0.0
    for epoch in range(epochs):
        for part, order in enumerate(np.array_split(rng.permutation(rows), PARTS if falling else 1)):
            peer.rate = first * (1 - (epoch + part / PARTS) / epochs) if falling else first
            peer.train(order)
        if (accuracy := peer.accuracy(test)) >= goal:
            break
    return accuracy


def timed(train: Callable[[int], float], seeds: Iterator[int]) -> dict[str, float]:
    """Seconds and test error in %, with the next seed at each call."""
    start = time.perf_counter()
    error = train(next(seeds) % SEEDS)
    return {SECONDS: time.perf_counter() - start, ERROR: 100 * error}


def cases(settings: Settings) -> Cases:
    found: dict[str, Measure | None] = {
        name: partial(timed, partial(ours, settings.data, workers), count()) for name, workers in OURS.items()
    }
    for name, (peer, threads) in PEERS.items():
        train = partial(in_process, theirs, settings.data, peer, threads=threads)
        found[name] = partial(timed, train, count()) if available(peer) else None
    yield "", found


def targets(entry: Entry) -> list[Target]:
    """The seconds of ddmlp's faster way, of those that got there with every seed, to those of every peer."""
    there = [name for name in OURS if max(entry.get("", name, ERROR) or [100]) <= 100 * (1 - GOAL)]
    best = min(there, key=lambda name: median(entry.get("", name, SECONDS) or []), default="")
    what = "seconds of ddmlp, the faster way, to"
    return [Target(f"{what} {peer}", entry.ratio("", best, peer, SECONDS), most=1) for peer in PEERS]


BENCHMARK = Benchmark("time-to-98", cases, targets, of="ddmlp, one process")
