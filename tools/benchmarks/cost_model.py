"""A model of a step's duration (arithmetic, messages, reduction), fitted to measurements, and a forecast for clusters.

The duration is the sum of six terms. Each is an amount of work on the step's critical path, times the cost of one unit
of it. The amounts follow from the step; the costs belong to the machine, and are fitted. p is the number of weights,
(m + o) n.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# The network of the forecast: 10 Gbit/s, and a round trip of 0.1 ms, typical of one data centre.
BANDWIDTH = 1.25e9  # bytes per second and direction of a machine's link
LATENCY = 50e-6  # seconds until a message arrives
HEADERS = 1514 / 1448  # bytes on the link for a byte that is sent by TCP: full Ethernet frames, with timestamps
# The share of the gradients that arrives while other nodes still receive their weights. Measured: see docs/scaling.md.
OVERLAP = 1 / 3
BATCHES, SERVERS, WORKERS = (1024, 16_384, 131_072), (1, 4, 16), (16, 64, 256)
MICROBATCH, WEIGHTS = 128, 794 * 300


class Terms(NamedTuple):
    """Amounts of work, or their costs: seconds per unit of work."""

    steps: float  # work that is done once per step
    rows: float  # read, scaled, scored
    products: float  # rows times p, for the matrix products
    passes: float  # passes over the weights times p: writing, adding and applying gradients
    messages: float  # units sent and answered
    arrays: float  # gradients received from other machines times p: copied, checked and added, with the weights sent


class Step(NamedTuple):
    """A step of a network of p `weights`.

    Parameters
    ----------
    rows, microbatch : int
        The rows of the global batch, and at most of a microbatch.
    weights : int
        p.
    workers : int
        The processes that compute it; if 0, the process that applies the step does.
    nodes : int
        The machines that they are on, if not one each. The weights are sent to each machine once, and each sends one
        gradient, the sum of those of its workers, if `transport` has a relay there.
    sent, answered : float
        Bytes for each of the weights, and of the gradient.
    """

    rows: int
    microbatch: int
    weights: int
    workers: int
    nodes: int = 0
    sent: float = 4.0
    answered: float = 4.0

    def on_cores(self, cores: int) -> Terms:
        """Return the work if all processes share one machine."""
        microbatches = -(-self.rows // self.microbatch)
        answers = min(self.workers, microbatches)
        most = -(-microbatches // min(max(1, answers), cores))  # of the busiest core
        return self._work(min(self.rows, most * self.microbatch), max(1, answers), answers)

    def on_machines(self, servers: int) -> Terms:
        """Return the work if each worker has a core, and each server a machine.

        Each server owns a slice of the weights. The servers add and apply in parallel, and exchange messages with
        every node. If a node has several workers, their gradients are added there first.
        """
        nodes = self.nodes or self.workers
        rows, beside = -(-self.rows // self.workers), -(-self.workers // nodes)
        work = self._work(rows, beside if beside > 1 else 0, max(nodes, servers))
        return work._replace(arrays=nodes / servers * self.weights)

    def exchange_seconds(self, servers: int, bandwidth: float | None = None, adding: float = 0.0) -> float:
        """Return the seconds to send the weights to every node, to receive a gradient from each, and to add them.

        A node's link carries every slice once; a server's link carries its slice once per node. The busier link
        determines the result. Gradients arrive while other nodes still receive weights (`OVERLAP`), and while others
        are added, for `adding` seconds in all. The last one is on the way for as long as a node's link needs. With
        several servers, a worker waits for three round trips: the unit and its answer are the coordinator's; the
        weights have to be asked for, and the servers confirm the gradient.
        """
        arrays = max((self.nodes or self.workers) / servers, 1.0)
        array = HEADERS * self.weights / (bandwidth or BANDWIDTH)
        answers = array * self.answered * max(1.0, (1 - OVERLAP) * arrays)
        return 2 * (1 if servers == 1 else 3) * LATENCY + arrays * array * self.sent + max(answers, adding)

    def _work(self, rows: int, answers: float, messages: int) -> Terms:
        """Return the work if the busiest core has `rows` rows, and `answers` gradients are added or applied."""
        # Each microbatch's gradient is written, each answer but the first is added, and the sum is applied.
        passes = -(-rows // self.microbatch) + answers
        return Terms(1, rows, rows * self.weights, passes * self.weights, messages, 0)


@dataclass(frozen=True)
class CostModel:
    """costs: seconds per unit of each term; error: the mean of |predicted / measured - 1| of the fit."""

    costs: Terms
    error: float

    @classmethod
    def fit(cls, measured: Sequence[tuple[Terms, float]]) -> "CostModel":
        """Fit the costs to pairs (work, measured seconds), by least squares of the relative errors.

        Costs cannot be negative, so a term whose cost would be negative is left out.
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
        found = Terms(*costs.tolist())
        if not scales[-1]:  # nothing came from another machine
            found = found._replace(arrays=found.passes)
        return cls(found, float(np.abs(amounts @ costs - 1).mean()))

    def seconds(self, work: Terms) -> float:
        return sum(amount * cost for amount, cost in zip(work, self.costs, strict=True))

    def cluster_seconds(self, step: Step, servers: int, bandwidth: float | None = None) -> float:
        """Return the seconds of a step on a cluster.

        bandwidth: bytes per second and direction of a machine's link, if not BANDWIDTH.
        """
        work = step.on_machines(servers)
        adding = work.arrays * self.costs.arrays
        return self.seconds(work._replace(arrays=0)) + step.exchange_seconds(servers, bandwidth, adding)

    def best_workers(self, step: Step, servers: int, bandwidth: float | None = None) -> int:
        """Return the number of workers, up to one per row, for which the step is fastest."""
        # If several numbers of workers leave the busiest one the same number of rows, the smallest is the fastest.
        numbers = sorted({-(-step.rows // rows) for rows in range(1, step.rows + 1)})
        return min(
            numbers, key=lambda workers: self.cluster_seconds(step._replace(workers=workers), servers, bandwidth)
        )


def forecast(model: CostModel) -> list[list[str]]:
    """Return a table with a header row: rows/s by batch, servers and workers, and the speed-up over one process."""
    heads = [*(f"{n} workers" for n in WORKERS), "fastest", "efficiency"]
    table = [["rows of a step", "servers", *heads]]
    for batch in BATCHES:
        for servers in SERVERS:
            step = Step(batch, MICROBATCH, WEIGHTS, 0)
            best = model.best_workers(step, servers)
            seconds = {n: model.cluster_seconds(step._replace(workers=n), servers) for n in (*WORKERS, best)}
            gains = {n: model.seconds(step.on_cores(1)) / each for n, each in seconds.items()}
            speeds = [f"{batch / seconds[n]:,.0f} ({gains[n]:.1f})" for n in WORKERS]
            fastest = [f"{best:,} ({gains[best]:.1f})", f"{100 * gains[best] / best:.0f} %"]
            table.append([f"{batch:,}", str(servers), *speeds, *fastest])
    return table
