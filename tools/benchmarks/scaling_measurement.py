"""What docs/scaling.md is made of: the costs of one core, and the speed of clusters that are played on this machine."""

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ddmlp.data.dataset import Dataset
from ddmlp.nn.steps import add_gradient
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.cut import cut
from ddmlp.plan.plan import Plan
from ddmlp.plan.reduction_tree import Node
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.reduction import BufferPool, Reduction
from ddmlp.training.weight_slice import NO_ROWS
from ddmlp.training.worker import Worker
from tools.benchmarks.cost_model import CostModel, Step, Terms
from tools.benchmarks.played_arithmetic import Training
from tools.benchmarks.played_cluster import UNCOUNTED, Cluster, play
from tools.benchmarks.processes import in_process
from tools.benchmarks.record import Environment, environment

HIDDEN, WORKERS, SERVERS = (400, 4_000, 40_000), (8, 16, 32), (1, 2, 4)
NODES = (8, 4)  # that MANY workers share, besides one each
MANY = WORKERS[-1]
CLUSTERS = [(w, k, 0) for w in WORKERS for k in SERVERS] + [(MANY, 1, nodes) for nodes in NODES]
LINKS = {"10 Gbit/s": 1.25e9, "1 Gbit/s": 1.25e8}  # bytes per second and direction
ROWS, MICROBATCH = 16_384, 128
# The network that is played for each link: so that the slow motion is between two and four times.
PLAYED = {"10 Gbit/s": 4_000, "1 Gbit/s": 400}
RATE = 6.25e6  # bytes per second and direction of a link that is played: 50 Mbit/s
STEPS = 5  # that are measured
TRAINING = Training(steps=STEPS + UNCOUNTED, microbatches=ROWS // MICROBATCH, hidden=4608)
STEP_COST, MESSAGE_COST = 1e-4, 2e-5  # seconds of a server for a step, and for a unit; see docs/benchmarks/
ADDING = Cluster(workers=4, servers=1, rate=0.0)  # measures what a server does with a gradient


class Cell(msgspec.Struct, forbid_unknown_fields=True):
    """A cluster that was played. seconds: of its steps, in the time of the cluster; nodes, reissued: see `Cluster`
    and `Played`."""

    link: str
    workers: int
    servers: int
    nodes: int
    seconds: list[float]
    reissued: int

    @property
    def key(self) -> tuple[str, int, int, int]:
        """What was played."""
        return self.link, self.workers, self.servers, self.nodes


class Measurement(msgspec.Struct, forbid_unknown_fields=True):
    """What was measured, and where.

    Parameters
    ----------
    row : dict of str to float
        Seconds of a core for a row and one weight, by the number of hidden units.
    gradient : float
        Seconds of a server for one weight, to receive and add a gradient, and to send the next version.
    addition : float
        Seconds of a core for one weight, to add a gradient in memory.
    cells : list of Cell
        The clusters.
    """

    environment: Environment
    row: dict[str, float]
    gradient: float
    addition: float
    cells: list[Cell]

    @property
    def mean_row(self) -> float:
        """The seconds for a row and one weight, for all sizes."""
        return statistics.mean(self.row.values())

    @property
    def model(self) -> CostModel:
        """The cost model of a cluster of such cores."""
        # The time for a row was measured with that for writing a gradient, a pass for each microbatch.
        products = self.mean_row - self.addition / MICROBATCH
        return CostModel(Terms(STEP_COST, 0.0, products, self.addition, MESSAGE_COST, self.gradient), error=0.0)


def step_of(hidden: int, workers: int = 0, nodes: int = 0) -> Step:
    """The step of a network that is forecast, and played."""
    return Step(ROWS, MICROBATCH, Shape(784, hidden, 10).size, workers, nodes)


def slow_motion(link: str) -> float:
    """How many times slower than on the cluster everything is when it is played.

    The array that is played takes this many times longer than that of the network on the cluster's link.
    """
    return TRAINING.shape.size / RATE * LINKS[link] / step_of(PLAYED[link]).weights


def measure(data: Path) -> Measurement:
    """Measure everything, with the dataset in the folder `data`."""
    row = {}
    for hidden in HIDDEN:
        row[str(hidden)] = in_process(row_seconds, data, hidden)
        _say(f"{hidden:,} hidden units: {1e12 * row[str(hidden)]:.1f} ns for a row and 1,000 weights")
    gradient = in_process(gradient_seconds)
    _say(f"a server: {1e9 * gradient:.2f} µs for 1,000 weights")
    addition = in_process(addition_seconds)
    _say(f"an addition in memory: {1e9 * addition:.2f} µs for 1,000 weights")
    found = Measurement(environment(), row, gradient, addition, [])
    for link in LINKS:
        found.cells.extend(measure_cells(found, link))
    return found


def row_seconds(data: Path, hidden: int) -> float:
    """Return the processor time of the kernel for a row, divided by the weights: of units of four microbatches."""
    dataset, shape, unit = Dataset(data / "train"), Shape(784, hidden, 10), Node(0, 4)
    plan = Plan(len(dataset), 4 * MICROBATCH, MICROBATCH, 100, 0, dataset.manifest.batch_rows, 65_536)
    worker, weights, out = Worker(dataset, plan, shape), Weights.draw(shape, 0), Weights(shape)
    seconds = []
    for step in range(max(4, 40_000 // hidden)):
        start = time.process_time()
        worker.compute(Unit(step, step, unit), weights, out)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:]) / (4 * MICROBATCH * shape.size)


def gradient_seconds(hidden: int = 4_000, steps: int = 10) -> float:
    """Return the processor time of a server for a gradient, divided by the weights: links are not limited."""
    training = TRAINING._replace(steps=steps + UNCOUNTED, hidden=_like(step_of(hidden).weights))
    return play(ADDING, training).busy / ADDING.workers / training.shape.size


def addition_seconds(hidden: int = 4_000, repeats: int = 5) -> float:
    """Return the processor time for a gradient that a relay adds, of eight, divided by the weights."""
    shape = Shape(784, hidden, 10)
    out, pool, root = Weights(shape), BufferPool(shape), Node(0, 8)
    gradients = [Gradient(Unit(0, 0, node), Weights(shape).flat, NO_ROWS, 0) for node in cut(root, (1,) * root.hi)]
    seconds = []
    for _ in range(1 + repeats):
        start = time.process_time()
        reduction = Reduction(0, root, pool)
        for gradient in gradients:
            reduction.add_gradient(gradient)
        left, right, _ = reduction.halves
        out.flat[:] = left
        add_gradient(out.flat, right)
        reduction.release()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:]) / (root.hi * shape.size)


def measure_cells(measurement: Measurement, link: str) -> Iterator[Cell]:
    """Play each cluster with a link."""
    step, slower = step_of(PLAYED[link]), slow_motion(link)
    size = slower * step.weights
    for workers, servers, nodes in CLUSTERS:
        cluster = Cluster(
            workers,
            servers,
            RATE,
            microbatch=MICROBATCH * size * measurement.mean_row,
            gradient=size * measurement.gradient,
            addition=size * measurement.addition,
            nodes=nodes,
        )
        played = in_process(play, cluster, TRAINING)
        seconds = [each / slower for each in played.seconds]
        expected = forecast_seconds(measurement.model, link, workers, servers, nodes)
        ratio = expected / statistics.median(seconds)
        on = f" on {nodes} hosts" if nodes else ""
        _say(f"{link}, {workers} workers{on}, {servers} servers: {ratio:.2f} times the speed of the forecast")
        yield Cell(link, workers, servers, nodes, seconds, played.reissued)


def forecast_seconds(model: CostModel, link: str, workers: int, servers: int, nodes: int = 0) -> float:
    """Return what the model expects of a cluster that is played."""
    return model.cluster_seconds(step_of(PLAYED[link], workers, nodes), servers, LINKS[link])


def _like(weights: int) -> int:
    """The number of hidden units with which the network that is played has about this many weights."""
    shape = TRAINING.shape
    return round(weights / (shape.inputs + shape.outputs) / 64) * 64


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
