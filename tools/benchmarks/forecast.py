"""The forecast: what the model of a step's cost says of clusters, and where more workers do not pay."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tools.benchmarks.cost_model import CostModel, Network, Step
from tools.benchmarks.markdown import table

BANDWIDTH, LATENCY = 1.25e9, 50e-6  # 10 Gbit/s; a round trip of 0.1 ms, as in one machine room
BATCHES, SERVERS, WORKERS = (1024, 16_384, 131_072), (1, 4, 16), (16, 64, 256)
MICROBATCH = 128


@dataclass(frozen=True)
class Case:
    """A step on a network: what it takes by the model, alone and with any number of workers. most: that pay."""

    model: CostModel
    step: Step
    network: Network

    @cached_property
    def most(self) -> int:
        return self.model.most_paying(self.step, self.network)

    def gain(self, workers: int) -> float:
        """How many times as fast as one process."""
        alone = self.model.seconds(self.step.on_cores(1))
        return alone / self.model.spread(replace(self.step, workers=workers), self.network)

    def speed(self, workers: int) -> float:
        """Rows a second."""
        return self.step.rows / self.model.spread(replace(self.step, workers=workers), self.network)

    def __str__(self) -> str:
        servers = self.network.servers
        return f"{self.step.rows:,} rows and {servers} server{'s' * (servers > 1)}"

    @property
    def row(self) -> list[str]:
        """Its line of the table."""
        speeds = [f"{self.speed(workers):,.0f} ({self.gain(workers):.1f})" for workers in WORKERS]
        share = f"{100 * self.gain(self.most) / self.most:.0f} %"
        return [
            f"{self.step.rows:,}",
            str(self.network.servers),
            *speeds,
            f"{self.most:,} ({self.gain(self.most):.1f})",
            share,
        ]


def forecast(model: CostModel, weights: int) -> str:
    """Rows a second with so many weights, by batch, servers and workers, and how many workers pay: Markdown."""
    networks = [Network(BANDWIDTH, LATENCY, servers) for servers in SERVERS]
    cases = [Case(model, Step(batch, MICROBATCH, weights, 0), network) for batch in BATCHES for network in networks]
    heads = [
        "rows of a step",
        "servers",
        *(f"{workers} workers" for workers in WORKERS),
        "most that pay",
        "of one each",
    ]
    return (
        "What it says of a cluster, a core like these for each worker and for each server with its slice of the hidden "
        f"units, on 10 Gbit/s Ethernet with {LATENCY * 1e6:.0f} µs until a message has come: rows/s, and how many "
        "times one process that is. *Most that pay* is the number of workers with the most rows/s; one more makes the "
        "step longer. *Of one each* is the share of one process's speed that each of those then brings.\n\n"
        f"{table(heads, [case.row for case in cases])}\n\nWhere more workers do not pay:\n\n{plainly(cases)}\n"
    )


def plainly(cases: Sequence[Case]) -> str:
    """Where more workers do not pay, as a list."""
    lines = []
    for workers in WORKERS:
        for what, where in {
            "fewer": [case for case in cases if case.most < workers],
            "one process": [case for case in cases if case.gain(workers) < 1],
        }.items():
            if where:
                listed = "; ".join(map(str, where)) if len(where) < len(cases) else "every batch and number of servers"
                lines.append(f"- {workers} workers are slower than {what} with {listed}.")
    return "\n".join(lines) or "- In none of these cases: every worker pays."
