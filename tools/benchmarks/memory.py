"""Memory use of training, on MNIST and on a dataset 100 times as large."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target
from tools.benchmarks.enlarged_mnist import enlarge
from tools.benchmarks.processes import rows_of, train
from tools.benchmarks.record import Entry

TIMES = 100
TRAINED = 6_000_000  # rows in each case: one epoch of the large dataset
BATCH = 1024
CASES = {"one process": 0, "2 workers": 2}
SMALL, LARGE = "MNIST", f"{TIMES} times MNIST"
ACTORS = ("ray::ServerActor", "ray::WorkerActor")
SAMPLE_SECONDS = 0.1


def own_bytes(process: int) -> int:
    """Return the memory of a process without mapped files, in bytes; 0 if it has ended."""
    found = re.search(r"^RssAnon:\s+(\d+) kB$", _proc(process, "status"), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def descendants(process: int) -> Iterator[int]:
    """Yield the ids of the child processes of `process`, of their children, and so on."""
    for task in Path(f"/proc/{process}/task").glob("*"):
        for child in map(int, _proc(process, f"task/{task.name}/children").split()):
            yield child
            yield from descendants(child)


def _proc(process: int, name: str) -> str:
    """Return the content of a file in /proc; empty if the process has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/{name}").read_text()
    return ""


def training(data: Path, workers: int) -> dict[str, float]:
    """Return the peak memory in MB, and the rows/s, of training on TRAINED rows drawn from `data`."""
    peak = 0

    def sample(process: int) -> None:
        nonlocal peak
        actors = [each for each in descendants(process) if _proc(each, "cmdline").startswith(ACTORS)]
        peak = max(peak, sum(map(own_bytes, [process, *actors])))
        time.sleep(SAMPLE_SECONDS)

    length = {"epochs": 1 + TRAINED // rows_of(data), "stop_after": -(-TRAINED // BATCH)}
    result = train(data, sample, hidden=300, batch=BATCH, microbatch=128, workers=workers, **length)
    return {"MB": peak / 1e6, "rows/s": result["rows_per_second"]}


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


BENCHMARK = Benchmark("memory", cases, targets)
