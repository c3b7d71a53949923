"""The chapter on memory: a dataset 100 times MNIST beside MNIST itself."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from ddmlp.data.manifest import Manifest
from tools.benchmarks import processes
from tools.benchmarks.chapter import Bar, Chapter, Found, Setting, interleaved, median_ratio
from tools.benchmarks.enlarged import enlarge
from tools.benchmarks.markdown import spread, table
from tools.benchmarks.resident import Resident

TIMES = 100
TRAINED = 6_000_000  # rows, however large the dataset is: all of the large one, once
BATCH = 1024
FLAGS = ("--hidden", "300", "--batch", str(BATCH), "--microbatch", "128", "--quiet", "--no-report")
WORKERS = (0, 2)
MOST_MEMORY, LEAST_SPEED = 1.05, 0.9


@dataclass
class Training:
    """A contestant: trains on so many rows of `data`, whatever their number. memory: the most bytes that each run so
    far has had at a time."""

    data: Path
    workers: int
    trained: int
    scratch: Path
    memory: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Rows a second of a run more."""
        run = self.scratch / f"{self.data.name}-{self.workers}-{len(self.memory)}"
        epochs, steps = 1 + self.trained // Manifest.read(self.data / "train").rows, -(-self.trained // BATCH)
        length = "--epochs", epochs, "--stop-after", steps
        where = "--workers", self.workers, *(("--address", "local") if self.workers else ())
        process = processes.start("-m", "ddmlp.train", "--data", self.data, "--run", run, *where, *length, *FLAGS)
        with Resident(process) as resident:
            processes.output(process)
        self.memory.append(float(resident.peak))
        return float(json.loads((run / "result.json").read_bytes())["rows_per_second"])


def measure(setting: Setting, times: int = TIMES, trained: int = TRAINED) -> Found:
    """Rows a second and bytes of memory on both datasets, by the number of workers."""
    large = enlarge(setting.data, times * Manifest.read(setting.data / "train").rows, setting.scratch / "enlarged")
    trainings = {
        f"{workers} {size}": Training(data, workers, trained, setting.scratch)
        for workers in WORKERS
        for size, data in [("small", setting.data), ("large", large)]
    }
    speeds = interleaved(trainings, setting.repeats)
    return {
        "times": times,
        "trained": trained,
        "speeds": speeds,
        "memory": {name: training.memory for name, training in trainings.items()},
    }


def bars(found: Found) -> list[Bar]:
    memory, speeds, times = found["memory"], found["speeds"], found["times"]
    return [
        bar
        for workers in WORKERS
        for bar in (
            Bar(
                f"memory with {workers} workers, {times} times the rows",
                median_ratio(memory[f"{workers} large"], memory[f"{workers} small"]),
                most=MOST_MEMORY,
            ),
            Bar(
                f"rows/s with {workers} workers, {times} times the rows",
                median_ratio(speeds[f"{workers} large"], speeds[f"{workers} small"]),
                LEAST_SPEED,
            ),
        )
    ]


def show(found: Found) -> str:
    rows = []
    for workers in WORKERS:
        for size, what in [("small", "MNIST"), ("large", f"{found['times']} times MNIST")]:
            name = f"{workers} {size}"
            megabytes = [each / 1e6 for each in found["memory"][name]]
            rows.append((str(workers), what, spread(megabytes, ".1f"), spread(found["speeds"][name])))
    return (
        f"{found['trained']:,} rows are trained on, of MNIST and of a dataset {found['times']} times as large: MNIST's "
        "digits, drawn at random, paler or as they are. The memory is the most that all processes of the run had "
        "at a time, the command, the server and the workers, from the start to the end, without the files that they "
        f"map.\n\n{table(['workers', 'dataset', 'MB', 'rows/s'], rows)}\n"
    )


CHAPTER = Chapter("memory", "Memory", measure, show, bars)
