"""Whole commands from the start of Python: --help until it ends; training until its first step begins, with the dataset
opened and the first checkpoint written. `ray.init` is the call alone, with the trainer's own arguments and Ray imported
already.
"""

import os
import time
from functools import partial
from importlib import import_module
from pathlib import Path

from ddmlp.ray_backend.cluster import ALWAYS, OWN, connect
from tools.benchmarks import processes
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target
from tools.benchmarks.record import Entry

COMMANDS = ("train", "evaluate", "predict", "verify", "replay", "report", "export", "serve")
LOCAL, REMOTE, INIT = "train, in one process", "train, with 2 workers on Ray", "ray.init alone"


def help_seconds(command: str) -> dict[str, float]:
    """Of the whole command --help."""
    start = time.perf_counter()
    processes.output(processes.start("-m", f"ddmlp.{command}", "--help"))
    return {"seconds": time.perf_counter() - start}


def first_step_seconds(data: Path, **more: object) -> dict[str, float]:
    """From the command to its first step. Right before that comes the checkpoint of the position 0."""
    start = time.time()
    return {"seconds": processes.train(data, hidden=300, epochs=1, stop_after=1, **more)["begun"] - start}


def ray_init_seconds() -> dict[str, float]:
    """From a process that has imported Ray to one that has started a Ray as the trainer does."""
    os.environ.update(ALWAYS | OWN)  # before the import, as the trainer does it
    import_module("ray")
    start = time.perf_counter()
    cluster = connect("local")
    seconds = time.perf_counter() - start
    cluster.leave()
    return {"seconds": seconds}


def cases(settings: Settings) -> Cases:
    helps = {f"{command} --help": partial(help_seconds, command) for command in COMMANDS}
    local = partial(first_step_seconds, settings.data)
    remote = partial(local, workers=2, address="local")
    yield "", {**helps, LOCAL: local, REMOTE: remote, INIT: partial(processes.in_process, ray_init_seconds)}


def targets(entry: Entry) -> list[Target]:
    seconds = {name: entry.get("", name, "seconds") for name in entry.figures[""]}
    remote, init = seconds.get(REMOTE), seconds.get(INIT)
    beyond = remote and init and [one - other for one, other in zip(remote, init, strict=True)]
    return [
        *(Target(f"{each} --help", seconds.get(f"{each} --help"), most=0.3, unit="s") for each in COMMANDS),
        Target("the first step in one process", seconds.get(LOCAL), most=1.0, unit="s"),
        Target("the first step on Ray beyond ray.init", beyond, most=2.0, unit="s"),
    ]


BENCHMARK = Benchmark("start", "Start", __doc__, cases, targets)
