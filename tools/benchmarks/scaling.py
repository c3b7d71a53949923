"""The page docs/scaling.md, from docs/scaling.json: python -m tools.benchmarks.scaling [--measure DATA]

With --measure, everything is measured first, which takes about five minutes and needs root.
"""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from ddmlp.cli.terminal import Parser, command
from ddmlp.data import manifest
from ddmlp.errors import ConfigError
from ddmlp.files import write_whole
from tools.benchmarks import shaped_network
from tools.benchmarks.cost_model import Step
from tools.benchmarks.scaling_measurement import (
    HIDDEN,
    LINKS,
    MANY,
    MICROBATCH,
    NODES,
    RATE,
    ROWS,
    SERVERS,
    STEPS,
    TRAINING,
    WORKERS,
    Measurement,
    forecast_seconds,
    measure,
    slow_motion,
    step_of,
)
from tools.benchmarks.templates import templates

PAGE, RECORD, TEMPLATE = "scaling.md", "scaling.json", "scaling.md.j2"
MOST = 128  # workers that are tried for the fastest number

BATCHES = (1_024, 16_384, 131_072)
MEGABYTE = 1e6
BITS, SLOW_LINKS = (32, 16, 8, 4), {"1 Gbit/s": 1.25e8, "100 Mbit/s": 1.25e7}  # 32: not rounded

Table = list[list[str]]  # with a header row


def rounded(step: Step, bits: int) -> Step:
    """The step with gradients that are rounded to `bits`. A sum of k of them has log2(k) bits more: a worker sends the
    sum of its microbatches, and receives that of all."""
    if bits == 32:
        return step
    whole = -(-step.rows // step.microbatch)
    parts = -(-whole // step.workers)
    return step._replace(sent=(bits + math.log2(whole)) / 8, answered=(bits + math.log2(parts)) / 8)


class Forecast:
    """What the cost model expects, and beside it what was measured."""

    def __init__(self, measurement: Measurement) -> None:
        self.measurement, self.model = measurement, measurement.model

    def gain(self, step: Step, link: str, servers: int) -> float:
        """The speed-up over one process."""
        return self.alone(step) / self.model.cluster_seconds(step, servers, LINKS[link])

    def best(self, step: Step, link: str, servers: int) -> tuple[int, float]:
        """The number of workers with which a step is fastest, and its speed-up."""
        gains = {workers: self.gain(step._replace(workers=workers), link, servers) for workers in range(1, MOST + 1)}
        return max(gains.items(), key=lambda each: each[1])

    def alone(self, step: Step) -> float:
        """The seconds of one process for a step."""
        return self.model.seconds(step._replace(workers=0).on_cores(1))

    def speeds(self) -> Table:
        """Rows/s, and the speed-up."""
        workers = (1, *WORKERS)
        heads = [f"{number} worker{'s' * (number > 1)}" for number in workers]
        table = [["link", "hidden units", "servers", *heads]]
        for link in LINKS:
            for hidden in HIDDEN:
                for servers in SERVERS:
                    gains = [self.gain(step_of(hidden, number), link, servers) for number in workers]
                    alone = ROWS / self.alone(step_of(hidden))
                    cells = [f"{gain * alone:,.0f} ({gain:.1f})" for gain in gains]
                    table.append([link, f"{hidden:,}", str(servers), *cells])
        return table

    def fastest(self) -> Table:
        """The number of workers with which a step is fastest, and its speed-up."""
        heads = [f"{servers} server{'s' * (servers > 1)}" for servers in SERVERS]
        table = [["link", "rows of a step", "hidden units", *heads]]
        for link in LINKS:
            for rows in BATCHES:
                for hidden in HIDDEN:
                    step = step_of(hidden)._replace(rows=rows)
                    found = [self.best(step, link, servers) for servers in SERVERS]
                    cells = [f"{best} ({gain:.1f})" if gain > 1 else "none" for best, gain in found]
                    table.append([link, f"{rows:,}", f"{hidden:,}", *cells])
        return table

    def bits(self) -> Table:
        """The fastest number of workers and its speed-up on slow links, with one server, by `gradient_bits`."""
        table = [["link", *(f"{bits} bits" for bits in BITS)]]
        for link, bandwidth in SLOW_LINKS.items():
            cells = []
            for bits in BITS:
                steps = [rounded(step_of(HIDDEN[0], workers), bits) for workers in range(1, MOST + 1)]
                gains = [self.alone(step) / self.model.cluster_seconds(step, 1, bandwidth) for step in steps]
                cells.append(f"{1 + int(np.argmax(gains))} ({max(gains):.1f})")
            table.append([link, *cells])
        return table

    def measured(self) -> Table:
        """Rows/s as expected and as measured, and the ratio of the two."""
        heads = [word for number in WORKERS for word in (f"{number} workers", "measured", "ratio")]
        table = [["link", "servers", *heads]]
        for link in LINKS:
            for servers in SERVERS:
                cells = [cell for workers in WORKERS for cell in self._compared(link, workers, servers)]
                table.append([link, str(servers), *cells])
        return table

    def relayed(self) -> Table:
        """The same of MANY workers that share machines, with one server."""
        heads = [word for number in (MANY, *NODES) for word in (f"on {number} machines", "measured", "ratio")]
        table = [["link", *heads]]
        for link in LINKS:
            cells = [cell for nodes in (0, *NODES) for cell in self._compared(link, MANY, 1, nodes)]
            table.append([link, *cells])
        return table

    def ratio(self, link: str, workers: int, servers: int, nodes: int = 0) -> float:
        """The measured speed, by the median step, divided by the expected one."""
        expected = forecast_seconds(self.model, link, workers, servers, nodes)
        key = link, workers, servers, nodes
        (cell,) = (each for each in self.measurement.cells if each.key == key)
        return expected / statistics.median(cell.seconds)

    def _compared(self, link: str, workers: int, servers: int, nodes: int = 0) -> tuple[str, str, str]:
        speed = ROWS / forecast_seconds(self.model, link, workers, servers, nodes)
        ratio = self.ratio(link, workers, servers, nodes)
        return f"{speed:,.0f}", f"{speed * ratio:,.0f}", f"{ratio:.2f}"

    @property
    def ratios(self) -> list[float]:
        return [self.ratio(*cell.key) for cell in self.measurement.cells]


def traffic() -> Table:
    """Bytes of a step in each direction, on a worker's link and on a server's."""
    heads = [f"a server's link, {servers} server{'s' * (servers > 1)}" for servers in SERVERS]
    table = [["hidden units", "a worker's link", *heads]]
    for hidden in HIDDEN:
        size = 4 * step_of(hidden).weights / MEGABYTE
        table.append([f"{hidden:,}", *(f"{amount:,.1f} MB" for amount in (size, *(MANY * size / k for k in SERVERS)))])
    return table


def markdown(table: Table) -> str:
    """A table as Markdown."""
    rows = [" | ".join(row) for row in (table[0], ["---"] * len(table[0]), *table[1:])]
    return "\n".join(f"| {row} |" for row in rows)


def page(measurement: Measurement) -> str:
    """The text of the page."""
    environment = templates()
    environment.filters["markdown"] = markdown
    return environment.get_template(TEMPLATE).render(
        forecast=Forecast(measurement),
        traffic=traffic(),
        step_of=step_of,
        slow_motion=slow_motion,
        links=LINKS,
        played=TRAINING,
        megabits=RATE / 125_000,
        rows=ROWS,
        microbatch=MICROBATCH,
        steps=STEPS,
        many=MANY,
        queue_seconds=shaped_network.QUEUE_SECONDS,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises ConfigError for invalid flags, and if this machine permits no measurement."""
    parser = Parser(description=f"Write {PAGE} from {RECORD}.")
    add = parser.add_argument
    add("--measure", type=Path, metavar="DATA", help=f"measure first, with the dataset DATA/train, and write {RECORD}")
    add("--out", type=Path, default=Path("docs"), metavar="FOLDER", help="folder of both (default: %(default)s)")
    args = parser.parse_args(arguments)
    if args.measure is not None:
        if reason := shaped_network.why_not():
            raise ConfigError(f"nothing can be measured here: {reason}")
        if not (args.measure / "train" / manifest.NAME).exists():
            raise ConfigError(f"{args.measure} has no dataset train/; expected a folder written by tools/idx2arrow.py")
        found = measure(args.measure.resolve())
        write_whole(args.out / RECORD, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    record = msgspec.json.decode((args.out / RECORD).read_bytes(), type=Measurement)
    write_whole(args.out / PAGE, page(record))
    print(args.out / PAGE)


if __name__ == "__main__":
    command(main)
