"""Start-up time of commands: to --help, to the first step, and with Ray."""

import os
import tempfile
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from unittest import mock

from ddmlp.ray_backend.choice import choose
from ddmlp.ray_backend.cluster import ALWAYS, OWN, connect
from tools.benchmarks import processes
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target, seconds_of
from tools.benchmarks.record import Entry

COMMANDS = ("train", "evaluate", "predict", "verify", "replay", "report", "export", "serve")
LOCAL, REMOTE, INIT = "train, in one process", "train, with 2 workers on Ray", "ray.init alone"
FIRST = f"{LOCAL}, no kernel compiled yet"
WHOLE = "seconds of a run of one step"


def show_help(command: str) -> None:
    """Run a command with --help."""
    processes.finish(processes.start("-m", f"ddmlp.{command}", "--help"))


def first_step_seconds(data: Path, workers: int, cache: Path | None = None) -> dict[str, float]:
    """Return the seconds from the start of the command to the end of its first step, and to its own end.

    The checkpoint of position 0 is written directly before the first step. `cache` is a folder for empty caches of
    compiled kernels; by default the usual cache is used.
    """
    with tempfile.TemporaryDirectory(dir=cache) as empty:
        start = time.time()
        with mock.patch.dict(os.environ, {"DDMLP_CACHE": empty} if cache else {}):
            result = processes.train(data, hidden=300, epochs=1, stop_after=1, workers=workers)
        return {"seconds": result["begun"] + result["train_seconds"] - start, WHOLE: time.time() - start}


def ray_init_seconds() -> dict[str, float]:
    """Return the seconds to start a Ray cluster with the trainer's arguments; Ray is already imported."""
    os.environ.update(ALWAYS | OWN, RAY_AUTH_MODE="token")  # before the import, like the trainer
    import_module("ray")
    return seconds_of(connect, choose("local"))  # the cluster ends with this process


def cases(settings: Settings) -> Cases:
    helps = {f"{command} --help": partial(seconds_of, show_help, command) for command in COMMANDS}
    local, remote = (partial(first_step_seconds, settings.data, workers) for workers in (0, 2))
    first = partial(first_step_seconds, settings.data, 0, settings.scratch)
    yield (
        "",
        {**helps, LOCAL: local, FIRST: first, REMOTE: remote, INIT: partial(processes.in_process, ray_init_seconds)},
    )


def difference(some: list[float] | None, others: list[float] | None) -> list[float] | None:
    return some and others and [one - other for one, other in zip(some, others, strict=True)]


def targets(entry: Entry) -> list[Target]:
    seconds = partial(entry.get, "", quantity="seconds")
    beyond = difference(seconds(REMOTE), seconds(INIT))
    compiling = difference(entry.get("", FIRST, WHOLE), entry.get("", LOCAL, WHOLE))
    return [
        *(Target(f"seconds of {each} --help", seconds(f"{each} --help"), most=0.3) for each in COMMANDS),
        Target("seconds to the first step in one process", seconds(LOCAL), most=1.2),
        Target("seconds that compiling the kernels adds to the first run", compiling, most=10),
        Target("seconds to the first step on Ray beyond ray.init", beyond, most=2.0),
    ]


BENCHMARK = Benchmark("start", cases, targets)
