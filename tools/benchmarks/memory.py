"""6,000,000 rows are trained on, of MNIST and of a dataset 100 times as large: MNIST's digits, drawn at random, paler
or as they are. The memory is the most that all processes of the run had at a time, the command, the server and the
workers, from the start to the end, without the files that they map.
"""

from functools import partial
from pathlib import Path

from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target
from tools.benchmarks.enlarged_mnist import enlarge
from tools.benchmarks.peak_memory import PeakMemory
from tools.benchmarks.processes import rows_of, train
from tools.benchmarks.record import Entry

TIMES = 100
TRAINED = 6_000_000  # rows, however large the dataset is: all of the large one, once
BATCH = 1024
CASES = {"one process": 0, "2 workers": 2}
SMALL, LARGE = "MNIST", f"{TIMES} times MNIST"


def training(data: Path, workers: int) -> dict[str, float]:
    """MB at the most, and rows/s, of training on TRAINED rows of `data`, whatever their number."""
    length = {"epochs": 1 + TRAINED // rows_of(data), "stop_after": -(-TRAINED // BATCH)}
    more = {"workers": workers, **({"address": "local"} if workers else {})}
    memory = PeakMemory()
    result = train(data, memory.of, hidden=300, batch=BATCH, microbatch=128, **length, **more)
    return {"MB": memory.peak / 1e6, "rows/s": result["rows_per_second"]}


def cases(settings: Settings) -> Cases:
    large = enlarge(settings.data, TIMES * rows_of(settings.data), settings.scratch / "enlarged")
    datasets = {SMALL: settings.data, LARGE: large}
    for case, workers in CASES.items():
        yield case, {name: partial(training, data, workers) for name, data in datasets.items()}


def targets(entry: Entry) -> list[Target]:
    return [
        target
        for case in CASES
        for target in (
            Target(f"memory, {case}, {TIMES} times the rows", entry.ratio(case, LARGE, SMALL, "MB"), most=1.05),
            Target(f"rows/s, {case}, {TIMES} times the rows", entry.ratio(case, LARGE, SMALL), least=0.9),
        )
    ]


BENCHMARK = Benchmark("memory", "Memory", __doc__, cases, targets)
