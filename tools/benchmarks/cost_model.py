"""What a step costs: arithmetic, messages and reduction, fitted to measurements, and what follows for a cluster.

A step's seconds are a sum of five terms, each an amount of work on the step's critical path times what one of it
costs. The amounts follow from the step; the costs are a machine's, and are fitted. p is the number of weights,
(m + o) n.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# The clusters of the forecast: 10 Gbit/s, and a round trip of 0.1 ms, as in one machine room.
BANDWIDTH = 1.25e9  # of a machine's link, bytes a second, each way
LATENCY = 50e-6  # seconds until a message has arrived
BATCHES, SERVERS, WORKERS = (1024, 16_384, 131_072), (1, 4, 16), (16, 64, 256)
MICROBATCH, WEIGHTS = 128, 794 * 300


class Terms(NamedTuple):
    """Amounts of work, or the seconds that one of each costs."""

    steps: float  # done once a step, whatever its size
    rows: float  # read, scaled, scored
    products: float  # rows times p, the matrix products
    passes: float  # passes over p weights, times p: a gradient written, added, applied
    messages: float  # units handed out and answered


class Step(NamedTuple):
    """A step: a global batch of `rows` rows, in microbatches of at most `microbatch`, for a network of p `weights`,
    computed by `workers` processes; with 0, by the one that applies it, too."""

    rows: int
    microbatch: int
    weights: int
    workers: int

    def on_cores(self, cores: int) -> Terms:
        """The work if all processes share one machine."""
        microbatches = -(-self.rows // self.microbatch)
        answers = min(self.workers, microbatches)
        most = -(-microbatches // min(max(1, answers), cores))  # of a core, one after another
        return self._work(min(self.rows, most * self.microbatch), max(1, answers), answers)

    def on_machines(self, servers: int) -> Terms:
        """The work if every worker has a machine, and so has every server with its slice of the hidden units: the
        servers add and apply at the same time, and take a message from each worker, and each worker one from each."""
        rows = -(-self.rows // self.workers)
        return self._work(rows, self.workers / servers, max(self.workers, servers))

    def exchange_seconds(self, servers: int) -> float:
        """Over the network of the forecast: the weights (float32) to each worker, and then a gradient from each.

        A worker's link carries every slice once, a server's carries its own once for every worker: the fuller decides.
        """
        arrays = max(self.workers / servers, 1.0)
        return 2 * (LATENCY + arrays * 4 * self.weights / BANDWIDTH)

    def _work(self, rows: int, answers: float, messages: int) -> Terms:
        """Of a step whose busiest core has `rows` rows, with so many gradients to be added by the busiest server."""
        # Each microbatch's gradient is written, and each answer but the first is added; then their sum is applied.
        passes = -(-rows // self.microbatch) + answers
        return Terms(1, rows, rows * self.weights, passes * self.weights, messages)


@dataclass(frozen=True)
class CostModel:
    """costs: seconds for one of each term; error: of the fit, the mean of |predicted / measured - 1|."""

    costs: Terms
    error: float

    @classmethod
    def fit(cls, measured: Sequence[tuple[Terms, float]]) -> "CostModel":
        """The costs that come nearest to measured (work, seconds), by least squares of the relative errors.

        No work takes less than no time: a term whose cost would be negative is left out.
        """
        amounts = np.array([work for work, _ in measured]) / np.array([seconds for _, seconds in measured])[:, None]
        scales = np.abs(amounts).max(axis=0)  # the terms differ by many orders of magnitude
        costs, left = np.zeros(len(scales)), np.flatnonzero(scales)
        while len(left):
            found = np.linalg.lstsq(amounts[:, left] / scales[left], np.ones(len(amounts)))[0]
            if found.min() >= 0:
                costs[left] = found / scales[left]
                break
            left = np.delete(left, found.argmin())
        return cls(Terms(*costs.tolist()), float(np.abs(amounts @ costs - 1).mean()))

    def seconds(self, work: Terms) -> float:
        return sum(amount * cost for amount, cost in zip(work, self.costs, strict=True))

    def spread(self, step: Step, servers: int) -> float:
        """Seconds of a step over machines. Nothing overlaps but what a link carries each way."""
        return self.seconds(step.on_machines(servers)) + step.exchange_seconds(servers)

    def most_paying(self, step: Step, servers: int) -> int:
        """With how many workers, up to one a row, the step takes the least time: more do not pay."""
        # Of the numbers of workers that leave the busiest equally many rows, the smallest is the fastest.
        numbers = sorted({-(-step.rows // rows) for rows in range(1, step.rows + 1)})
        return min(numbers, key=lambda workers: self.spread(step._replace(workers=workers), servers))


def forecast(model: CostModel) -> list[list[str]]:
    """A table, its heads first: rows/s by batch, servers and workers, and how many times one process that is."""
    heads = [*(f"{n} workers" for n in WORKERS), "most that pay", "of one each"]
    table = [["rows of a step", "servers", *heads]]
    for batch in BATCHES:
        for servers in SERVERS:
            step = Step(batch, MICROBATCH, WEIGHTS, 0)
            most = model.most_paying(step, servers)
            seconds = {n: model.spread(step._replace(workers=n), servers) for n in (*WORKERS, most)}
            gains = {n: model.seconds(step.on_cores(1)) / each for n, each in seconds.items()}
            speeds = [f"{batch / seconds[n]:,.0f} ({gains[n]:.1f})" for n in WORKERS]
            pays = [f"{most:,} ({gains[most]:.1f})", f"{100 * gains[most] / most:.0f} %"]
            table.append([f"{batch:,}", str(servers), *speeds, *pays])
    return table
