"""How fast a contestant trains: python -m tools.benchmarks.stopwatch NAME DATA --hidden N --batch B --seconds S

Prints rows/s and the mean error before and after, as JSON.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Shape, Weights
from tools.benchmarks.peers.bound import Bound
from tools.benchmarks.peers.contestant import Contestant, error
from tools.benchmarks.peers.roster import ROSTER, contestant
from tools.benchmarks.rows import Rows

RATE = 0.1
WARM_UP = 20  # steps
STRETCH = 1000  # steps between looks at the clock, or an epoch: what a call costs is no step's cost
SAMPLE = 1000  # rows that the error is taken of


def stretches(rows: int, batch: int, seed: int = 0) -> Iterator[NDArray[np.intp]]:
    """Epochs without end, each in an order of its own, cut into stretches of whole steps."""
    rng = np.random.default_rng(seed)
    size = min(STRETCH, max(1, rows // batch)) * batch
    while True:
        order = rng.permutation(rows)
        for start in range(0, max(1, rows - size + 1), size):
            yield order[start : start + size]


def rows_per_second(runner: Contestant | Bound, rows: int, batch: int, seconds: float) -> float:
    """Of whole stretches, for at least so many seconds, after a warm-up."""
    orders = stretches(rows, batch)
    runner.train(next(orders)[: WARM_UP * batch])
    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        order = next(orders)
        runner.train(order)
        done += len(order)
    return done / passed


def main() -> None:
    parser = Parser(description="Time a contestant; one line of JSON.")
    parser.add_argument("name", choices=ROSTER)
    parser.add_argument("data", type=Path)
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    rows = Rows.load(args.data / "train")
    shape = Shape(rows.pixels.shape[1], args.hidden, int(rows.labels.max()) + 1)
    runner = contestant(args.name)(rows, Weights.draw(shape, 0), args.batch, RATE)
    if isinstance(runner, Bound):
        speed, errors = rows_per_second(runner, len(rows.labels), args.batch, args.seconds), []
    else:
        sample = rows.first(SAMPLE)
        runner.train(np.arange(min(args.batch, SAMPLE)))  # one step, for one that knows no weights before
        before = error(runner, sample)
        speed = rows_per_second(runner, len(rows.labels), args.batch, args.seconds)
        errors = [before, error(runner, sample)]
        check_learnt(args.name, errors)
    print(json.dumps({"rows_per_second": speed, "errors": errors}))


def check_learnt(name: str, errors: list[float]) -> None:
    """Raise TrainingError where the error has not fallen: what does not learn is not measured."""
    if not errors[-1] < errors[0]:
        raise TrainingError(f"{name} learns nothing: its mean error went from {errors[0]:.3f} to {errors[-1]:.3f}")


if __name__ == "__main__":
    command(main)
