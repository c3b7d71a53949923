"""The tables of docs/scaling.md: python -m tools.benchmarks.scaling"""

from ddmlp.nn.weights import Shape
from tools.benchmarks.cost_model import CostModel, Step, Terms

# Of one core, measured as processor time while other programs ran; `passes` has the copies to and from the network.
MODEL = CostModel(Terms(steps=1e-4, rows=0.0, products=2.5e-11, passes=2e-9, messages=2e-5), error=0.0)
HIDDEN, WORKERS, SERVERS = (400, 4_000, 40_000), (1, 8, 32), (1, 2, 4)
LINKS = {"10 Gbit/s": 1.25e9, "1 Gbit/s": 1.25e8}  # bytes per second and direction
ROWS, MICROBATCH, MANY = 16_384, 128, 32
MEGABYTE = 1e6


def traffic() -> list[list[str]]:
    """Return a table with a header row: bytes of a step in each direction, on a worker's link and on a server's."""
    heads = [f"a server's link, {servers} server{'s' * (servers > 1)}" for servers in SERVERS]
    table = [["hidden units", "a worker's link", *heads]]
    for hidden in HIDDEN:
        size = 4 * Shape(784, hidden, 10).size / MEGABYTE
        table.append([f"{hidden:,}", *(f"{amount:,.1f} MB" for amount in (size, *(MANY * size / k for k in SERVERS)))])
    return table


def speeds() -> list[list[str]]:
    """Return a table with a header row: rows/s, and the speed-up over one process."""
    heads = [f"{workers} worker{'s' * (workers > 1)}" for workers in WORKERS]
    table = [["link", "hidden units", "servers", *heads, "fastest"]]
    for link, bandwidth in LINKS.items():
        for hidden in HIDDEN:
            step = Step(ROWS, MICROBATCH, 794 * hidden, 0)
            alone = MODEL.seconds(step.on_cores(1))
            for servers in SERVERS:
                best = MODEL.best_workers(step, servers, bandwidth)
                seconds = [
                    MODEL.cluster_seconds(step._replace(workers=workers), servers, bandwidth)
                    for workers in (*WORKERS, best)
                ]
                cells = [f"{ROWS / each:,.0f} ({alone / each:.1f})" for each in seconds[:-1]]
                table.append([link, f"{hidden:,}", str(servers), *cells, f"{best} ({alone / seconds[-1]:.1f})"])
    return table


def markdown(table: list[list[str]]) -> str:
    """Return a table as Markdown."""
    rows = [" | ".join(row) for row in (table[0], ["---"] * len(table[0]), *table[1:])]
    return "\n".join(f"| {row} |" for row in rows)


if __name__ == "__main__":
    print(markdown(traffic()), markdown(speeds()), sep="\n\n")
