"""Plain gradient descent on the 784-n-10 network with logistic units, each with the settings that were
fastest for it: 300 hidden units, batch 16, learning rate 1; all read the same files. A peer looks at the test rows
after every epoch, and ends with the first that has 98 % right. ddmlp does not look: it trains for 6 epochs, with which
every seed gets to 98 %, while its learning rate falls to zero. PyTorch's rate falls over 5 epochs; scikit-learn has no
such schedule, and up to 30 epochs. A peer that does not get there within its epochs is counted with the seconds of
those: it would have needed more. The seconds are those of the whole command, from its start to its end. No report is
written (`--no-report`), which would take ddmlp half a second more.
"""

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
    epochs, falling = LIMITS[name]
    return 1 - train_to(GOAL, peer, len(rows.labels), test, seed, epochs, falling=falling)[-1]


def train_to(
    goal: float, peer: Baseline, rows: int, test: Rows, seed: int, epochs: int, *, falling: bool = False
) -> list[float]:
    """The accuracy after each epoch, up to the first that reaches the goal. falling: the rate falls to zero over all
    epochs."""
    first, rng, reached = peer.rate, np.random.default_rng(seed), [-1.0]
    while len(reached) <= epochs and reached[-1] < goal:
        for part, order in enumerate(np.array_split(rng.permutation(rows), PARTS if falling else 1)):
            peer.rate = first * (1 - (len(reached) - 1 + part / PARTS) / epochs) if falling else first
            peer.train(order)
        reached.append(peer.accuracy(test))
    return reached[1:]


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


BENCHMARK = Benchmark("time-to-98", "Time to 98 %", __doc__, cases, targets, of="ddmlp, one process")
