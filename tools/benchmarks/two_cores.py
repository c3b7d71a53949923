"""Speed of two independent processes on two cores: the limit for two workers."""

from functools import partial

from tools.benchmarks.benchmark import Benchmark, Cases, Settings
from tools.benchmarks.peers.baseline import speed
from tools.benchmarks.processes import in_processes

HIDDEN, BATCH = (300, 800), 128  # the microbatch of several processes


def products(settings: Settings, hidden: int, processes: int) -> dict[str, float]:
    """Return the total rows/s of concurrent processes."""
    found = in_processes(speed, [("sparse bound", settings.data, hidden, BATCH, settings.seconds)] * processes)
    return {"rows/s": sum(each["rows/s"] for each in found)}


def cases(settings: Settings) -> Cases:
    for hidden in HIDDEN:
        one, two = (partial(products, settings, hidden, processes) for processes in (1, 2))
        yield f"{hidden} hidden", {"one process": one, "two at once": two}


BENCHMARK = Benchmark("two-cores", cases, of="one process")
