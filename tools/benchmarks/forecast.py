"""The forecast: what the model of a step's cost says of clusters, and how many workers pay."""

from tools.benchmarks.cost_model import CostModel, Network, Step
from tools.benchmarks.page import table

BANDWIDTH, LATENCY = 1.25e9, 50e-6  # 10 Gbit/s; a round trip of 0.1 ms, as in one machine room
BATCHES, SERVERS, WORKERS = (1024, 16_384, 131_072), (1, 4, 16), (16, 64, 256)
MICROBATCH = 128
TEXT = """What it says of a cluster, a core like these for each worker and for each server with its slice of the hidden
units, on 10 Gbit/s Ethernet with 50 µs until a message has arrived: rows/s, and how many times one process that is (a
number below 1 is slower than one process). *Most that pay* is the number of workers with the most rows/s: more do not
pay, for one more makes the step longer. *Of one each* is the share of one process's speed that each of those then
brings."""


def forecast(model: CostModel, weights: int) -> str:
    """Rows a second with so many weights, by batch, servers and workers, and how many workers pay: Markdown."""
    heads = ["rows of a step", "servers", *(f"{n} workers" for n in WORKERS), "most that pay", "of one each"]
    steps = [Step(batch, MICROBATCH, weights, 0) for batch in BATCHES]
    networks = [Network(BANDWIDTH, LATENCY, servers) for servers in SERVERS]
    return f"{TEXT}\n\n{table(heads, (row(model, step, network) for step in steps for network in networks))}\n"


def row(model: CostModel, step: Step, network: Network) -> list[str]:
    """The line of a step on a network."""
    most = model.most_paying(step, network)
    seconds = {n: model.spread(step._replace(workers=n), network) for n in (*WORKERS, most)}
    gains = {n: model.seconds(step.on_cores(1)) / each for n, each in seconds.items()}
    speeds = [f"{step.rows / seconds[n]:,.0f} ({gains[n]:.1f})" for n in WORKERS]
    share = f"{100 * gains[most] / most:.0f} %"
    return [f"{step.rows:,}", str(network.servers), *speeds, f"{most:,} ({gains[most]:.1f})", share]
