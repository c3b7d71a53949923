"""Time from the start of a command until 98 % of the test rows are classified correctly."""

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

GOAL, SEEDS = 0.98, 3  # the repeats cycle through the seeds
PARTS = 100  # of an epoch, each with another learning rate
# Settings of the peers: the fastest of hidden 200 to 800, batch 8 to 64, and learning rates per row 1/64 to 1/8.
HIDDEN, BATCH, RATE = 300, 16, 1.0
# The largest number of epochs, and whether the learning rate decreases to zero over them.
LIMITS = {"PyTorch": (5, True), "scikit-learn": (30, False)}
OURS = "ddmlp"
PEERS = {"PyTorch, 2 threads": ("PyTorch", 2), "scikit-learn, 1 thread": ("scikit-learn", 1)}
MIN_SPEEDUPS = {"PyTorch, 2 threads": 4, "scikit-learn, 1 thread": 1}  # of ddmlp over the peer
SECONDS, ERROR = "seconds", "test error, %"


def ddmlp_error(data: Path, seed: int) -> float:
    """Run the training command in one process with default settings; return the test error."""
    return float(train(data, workers=0, seed=seed)["test_error"])


def peer_error(data: Path, name: str, seed: int) -> float:
    """Train a peer in this process; return the test error."""
    rows, test = Rows.load(data / "train"), Rows.load(data / "test")
    peer = baseline(name)(rows, Weights.draw(rows.shape(HIDDEN), seed), BATCH, RATE)
    return 1 - train_to(GOAL, peer, len(rows.labels), test, seed, *LIMITS[name])


def train_to(goal: float, peer: Baseline, rows: int, test: Rows, seed: int, epochs: int, falling: bool) -> float:
    """Train until an epoch reaches the goal, or to the last epoch; return the accuracy.

    If `falling`, the learning rate decreases linearly to zero over all epochs.
    """
    first, rng, accuracy = peer.rate, np.random.default_rng(seed), 0.0
    for epoch in range(epochs):
        for part, order in enumerate(np.array_split(rng.permutation(rows), PARTS if falling else 1)):
            peer.rate = first * (1 - (epoch + part / PARTS) / epochs) if falling else first
            peer.train(order)
        if (accuracy := peer.accuracy(test)) >= goal:
            break
    return accuracy


def timed(train: Callable[[int], float], seeds: Iterator[int]) -> dict[str, float]:
    """Train with the next seed; return the seconds and the test error in %."""
    start = time.perf_counter()
    error = train(next(seeds) % SEEDS)
    return {SECONDS: time.perf_counter() - start, ERROR: 100 * error}


def cases(settings: Settings) -> Cases:
    found: dict[str, Measure | None] = {OURS: partial(timed, partial(ddmlp_error, settings.data), count())}
    for name, (peer, threads) in PEERS.items():
        train = partial(in_process, peer_error, settings.data, peer, threads=threads)
        found[name] = partial(timed, train, count()) if available(peer) else None
    yield "", found


def targets(entry: Entry) -> list[Target]:
    """Compare the seconds of every peer with those of ddmlp, which must reach the goal with every seed."""
    errors = entry.get("", OURS, ERROR)
    ratios = {peer: entry.ratio("", peer, OURS, SECONDS) for peer in MIN_SPEEDUPS}
    return [
        Target("the largest test error of ddmlp, %", errors and [max(errors)], most=100 * (1 - GOAL)),
        *(Target(f"ddmlp to {peer}", ratios[peer], least) for peer, least in MIN_SPEEDUPS.items()),
    ]


BENCHMARK = Benchmark("time-to-98", cases, targets, of=OURS)
