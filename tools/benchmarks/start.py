"""The chapter on starting: how long it takes until a command says how it is used, or trains."""

import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from ddmlp.errors import TrainingError
from tools.benchmarks import processes
from tools.benchmarks.chapter import Bar, Chapter, Figures, Found, Setting, Spread, interleaved
from tools.benchmarks.markdown import spread, table

COMMANDS = ("train", "evaluate", "predict", "verify", "replay", "report", "export", "serve")
WORKERS = 2
LOCAL, REMOTE, INIT = "train, in one process", f"train, with {WORKERS} workers on Ray", "ray.init alone"
FLAGS = ("--hidden", "300", "--epochs", "1", "--stop-after", "1", "--quiet")
MOST_HELP, MOST_LOCAL, MOST_REMOTE = 0.3, 1.0, 2.0  # seconds
LOOK_SECONDS = 0.002


def help_seconds(module: str) -> float:
    """Of the whole command --help."""
    start = time.perf_counter()
    processes.run("-m", f"ddmlp.{module}", "--help")
    return time.perf_counter() - start


def first_step_seconds(data: Path, run: Path, *flags: str) -> float:
    """From the command to its first step. What comes right before that is the checkpoint of the position 0, which is
    seen from outside."""
    start = time.perf_counter()
    process = processes.start("-m", "ddmlp.train", "--data", data, "--run", run, *FLAGS, *flags)
    ended = False
    while not any(run.glob("checkpoints/step-*.npz")):
        if ended:
            raise TrainingError(f"training ended before its first step: {processes.output(process).strip()}")
        ended = process.poll() is not None
        time.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - start
    processes.output(process)
    return seconds


def measure(setting: Setting) -> Found:
    """Seconds of each, in processes of their own."""
    runs = (setting.scratch / f"run-{number}" for number in count())
    contestants: dict[str, Callable[[], float]] = {
        **{command: partial(help_seconds, command) for command in COMMANDS},
        LOCAL: lambda: first_step_seconds(setting.data, next(runs)),
        REMOTE: lambda: first_step_seconds(setting.data, next(runs), "--workers", str(WORKERS), "--address", "local"),
        INIT: lambda: float(processes.run("-m", "tools.benchmarks.ray_init")),
    }
    return {"seconds": interleaved(contestants, setting.repeats)}


def beyond(remote: list[float], init: list[float]) -> Spread:
    """Seconds to the first step on Ray beyond ray.init, repeat by repeat."""
    return Spread.of([one - other for one, other in zip(remote, init, strict=True)])


def bars(found: Found) -> list[Bar]:
    seconds = found["seconds"]
    return [
        *(Bar(f"`{each} --help`", Spread.of(seconds[each]), most=MOST_HELP, unit="s") for each in COMMANDS),
        Bar("the first step in one process", Spread.of(seconds[LOCAL]), most=MOST_LOCAL, unit="s"),
        Bar(
            "the first step on Ray beyond ray.init", beyond(seconds[REMOTE], seconds[INIT]), most=MOST_REMOTE, unit="s"
        ),
    ]


def show(found: Found) -> str:
    seconds: dict[str, Figures] = found["seconds"]
    named = {each: f"`python -m ddmlp.{each} --help`" for each in COMMANDS}
    rows = [(named.get(what, what), spread(each, ".3f")) for what, each in seconds.items()]
    return (
        "Whole commands from the start of Python: --help until it ends; training until its first step begins, with "
        "the dataset opened and the first checkpoint written. `ray.init` is the call alone, with the trainer's own "
        f"arguments and Ray imported already.\n\n{table(['what', 'seconds'], rows)}\n"
    )


CHAPTER = Chapter("start", "Start", measure, show, bars)
