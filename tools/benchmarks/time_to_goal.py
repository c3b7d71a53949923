"""How long it takes from the command to 98 % of the test rows right."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from ddmlp.nn.weights import Weights
from tools.benchmarks.benchmark import Benchmark, Cases, Measure, Settings, Target
from tools.benchmarks.peers.baseline import Baseline, Rows, available, baseline
from tools.benchmarks.processes import in_process, train
from tools.benchmarks.record import Entry

GOAL, SEEDS = 0.98, 3  # the seeds take turns over the repeats
PARTS = 100  # of an epoch, each with a learning rate of its own
# The peers' settings: of hidden 200 to 800, batch 8 to 64, and rates per row 1/64 to 1/8, those that were done first.
HIDDEN, BATCH, RATE = 300, 16, 1.0
LIMITS = {"PyTorch": (5, True), "scikit-learn": (30, False)}  # epochs, and whether the rate falls to zero over them
OURS = "ddmlp"
PEERS = {"PyTorch, 2 threads": ("PyTorch", 2), "scikit-learn, 1 thread": ("scikit-learn", 1)}
LEAST = {"PyTorch, 2 threads": 4, "scikit-learn, 1 thread": 1}  # times that ddmlp is to be as fast
SECONDS, ERROR = "seconds", "test error, %"


def ours(data: Path, seed: int) -> float:
    """The test error of the training command in one process, with its defaults."""
    return float(train(data, workers=0, seed=seed)["test_error"])


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
    found: dict[str, Measure | None] = {OURS: partial(timed, partial(ours, settings.data), count())}
    for name, (peer, threads) in PEERS.items():
        train = partial(in_process, theirs, settings.data, peer, threads=threads)
        found[name] = partial(timed, train, count()) if available(peer) else None
    yield "", found


def targets(entry: Entry) -> list[Target]:
    """The seconds of every peer to those of ddmlp, which must get there with every seed."""
    errors = entry.get("", OURS, ERROR)
    ratios = {peer: entry.ratio("", peer, OURS, SECONDS) for peer in LEAST}
    return [
        Target("the largest test error of ddmlp, %", errors and [max(errors)], most=100 * (1 - GOAL)),
        *(Target(f"ddmlp to {peer}", ratios[peer], least) for peer, least in LEAST.items()),
    ]


BENCHMARK = Benchmark("time-to-98", cases, targets, of=OURS)
