"""Ray's documented parameter-server pattern, from its description: the driver asks every worker for its gradient at the
current weights, hands the references to the server, and gets a reference to the next weights.

python -m tools.benchmarks.peers.ray_pattern DATA --hidden N --each B --seconds S prints rows/s and the mean error, as
JSON.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.cli.terminal import Parser, command
from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.numerics import pin
from ddmlp.ray_backend.cluster import connect
from tools.benchmarks.peers.contestant import error
from tools.benchmarks.peers.dense import Dense, DenseStep
from tools.benchmarks.rows import Rows
from tools.benchmarks.stopwatch import RATE, SAMPLE, WARM_UP, check_learnt, stretches

WORKERS = 2
LOOK_STEPS = 10  # between looks at the weights, as in Ray's example: so far may the driver run ahead


class ParameterServer:
    """Owns the weights, a flat vector; the mean gradient of a step comes in as its workers' sums."""

    def __init__(self, weights: Floats, rate: float, batch: int) -> None:
        self._weights, self._factor = weights.copy(), np.float32(rate / batch)

    def apply_gradients(self, *gradients: Floats) -> Floats:
        total = gradients[0].copy()
        for gradient in gradients[1:]:
            total += gradient
        total *= self._factor
        self._weights -= total
        return self._weights

    def get_weights(self) -> Floats:
        return self._weights


class DataWorker:
    """Computes gradients on its share of each step's rows, in an order of its own."""

    def __init__(self, rows: Rows | Path, shape: Shape, each: int, rank: int) -> None:
        pin()
        self._rows = rows if isinstance(rows, Rows) else Rows.load(rows)
        self._shape, self._each, self._rank = shape, each, rank
        self._step = DenseStep(shape, each)
        self._orders = stretches(len(self._rows.labels), WORKERS * each)
        self._order = next(self._orders).reshape(-1, WORKERS, each)
        self._next = 0

    def compute_gradients(self, weights: Floats) -> Floats:
        """dE/dW (m n + n o,), summed over the rows of the next step."""
        if self._next == len(self._order):
            self._order, self._next = next(self._orders).reshape(self._order.shape), 0
        out = Weights(self._shape)
        chosen = self._order[self._next, self._rank]
        self._next += 1
        self._step.gradient(Weights(self._shape, weights), self._rows, chosen, out)
        return out.flat


def run(ray: Any, data: Path, shape: Shape, each: int, seconds: float) -> tuple[float, list[Floats]]:
    """rows/s for at least so many seconds, after a warm-up; and the weights before and after."""
    first = Weights.draw(shape, 0).flat
    server = ray.remote(num_cpus=0)(ParameterServer).remote(first, RATE, WORKERS * each)
    worker = ray.remote(num_cpus=0)(DataWorker)
    workers = [worker.remote(data / "train", shape, each, rank) for rank in range(WORKERS)]
    weights = server.get_weights.remote()

    def steps(count: int) -> Floats:
        nonlocal weights
        for _ in range(count):
            weights = server.apply_gradients.remote(*(each.compute_gradients.remote(weights) for each in workers))
        found: Floats = ray.get(weights)
        return found

    steps(WARM_UP)
    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        last = steps(LOOK_STEPS)
        done += LOOK_STEPS * WORKERS * each
    return done / passed, [first, last.copy()]


def main() -> None:
    parser = Parser(description="Time Ray's parameter-server pattern; one line of JSON.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--each", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    rows = Rows.load(args.data / "train")
    shape = Shape(rows.pixels.shape[1], args.hidden, int(rows.labels.max()) + 1)
    cluster = connect("local")
    try:
        speed, weights = run(cluster.ray, args.data.resolve(), shape, args.each, args.seconds)
    finally:
        cluster.leave()
    sample = rows.first(SAMPLE)
    errors = [error(Dense(rows, Weights(shape, flat), 1, RATE), sample) for flat in weights]
    check_learnt("Ray's pattern", errors)
    print(json.dumps({"rows_per_second": speed, "errors": errors}))


if __name__ == "__main__":
    command(main)
