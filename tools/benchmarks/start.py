"""How long commands take to start: to --help, to the first step, and with Ray."""

import os
import time
from functools import partial
from importlib import import_module
from pathlib import Path

from ddmlp.ray_backend.cluster import ALWAYS, OWN, connect
from tools.benchmarks import processes
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target, seconds_of
from tools.benchmarks.record import Entry

COMMANDS = ("train", "evaluate", "predict", "verify", "replay", "report", "export", "serve")
LOCAL, REMOTE, INIT = "train, in one process", "train, with 2 workers on Ray", "ray.init alone"


def show_help(command: str) -> None:
    """The whole command --help."""
    processes.finish(processes.start("-m", f"ddmlp.{command}", "--help"))


def first_step_seconds(data: Path, workers: int) -> dict[str, float]:
    """From the command to its first step. Right before that comes the checkpoint of the position 0."""
    start = time.time()
    return {"seconds": processes.train(data, hidden=300, epochs=1, stop_after=1, workers=workers)["begun"] - start}


def ray_init_seconds() -> dict[str, float]:
    """From a process that has imported Ray to one that has started a Ray as the trainer does."""
    os.environ.update(ALWAYS | OWN)  # before the import, as the trainer does it
    import_module("ray")
    return seconds_of(connect, "local")  # it ends with this process


def cases(settings: Settings) -> Cases:
    helps = {f"{command} --help": partial(seconds_of, show_help, command) for command in COMMANDS}
    local, remote = (partial(first_step_seconds, settings.data, workers) for workers in (0, 2))
    yield "", {**helps, LOCAL: local, REMOTE: remote, INIT: partial(processes.in_process, ray_init_seconds)}


def targets(entry: Entry) -> list[Target]:
    seconds = partial(entry.get, "", quantity="seconds")
    remote, init = seconds(REMOTE), seconds(INIT)
    beyond = remote and init and [one - other for one, other in zip(remote, init, strict=True)]
    return [
        *(Target(f"seconds of {each} --help", seconds(f"{each} --help"), most=0.3) for each in COMMANDS),
        Target("seconds to the first step in one process", seconds(LOCAL), most=1.0),
        Target("seconds to the first step on Ray beyond ray.init", beyond, most=2.0),
    ]


BENCHMARK = Benchmark("start", cases, targets)
