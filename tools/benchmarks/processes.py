"""New processes, so that nothing of this one is measured: commands of ddmlp, and functions of the benchmarks."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from ddmlp.data.manifest import Manifest
from ddmlp.errors import TrainingError

ROOT = Path(__file__).resolve().parents[2]
# Before NumPy is imported, because not every library can be told later.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
SPEED = 40e6  # rows/s times hidden units, about
Found = TypeVar("Found")


def in_process(function: Callable[..., Found], *arguments: Any, threads: int = 1) -> Found:
    """What a function returns in a new process that is held to so many threads."""
    return in_processes(function, [arguments], threads)[0]


def in_processes(function: Callable[..., Found], calls: Sequence[Sequence[Any]], threads: int = 1) -> list[Found]:
    """What a function returns in several new processes at once, each with its arguments; raises what it raised there,
    and TrainingError if a process died."""
    with ExitStack() as stack:
        begin = [stack.enter_context(new_process(threads)) for _ in calls]
        return [end() for end in [each(function, *call) for each, call in zip(begin, calls, strict=True)]]


@contextmanager
def new_process(threads: int = 1) -> Iterator[Callable[..., Callable[[], Any]]]:
    """A new process that is held to so many threads, as a function that begins a call in it, and returns what waits for
    its end. As long as the context lasts it is the same process."""
    held = {"PYTHONPATH": str(ROOT), **dict.fromkeys(THREADS, str(threads))}
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        with mock.patch.dict(os.environ, held):
            pool.submit(int).result()  # starts it

        def end(function: Callable[..., Any], future: Future[Any]) -> Any:
            try:
                return future.result()
            except BrokenProcessPool as error:
                raise TrainingError(f"a process that ran {function.__qualname__} died: {error}") from error

        yield lambda function, *arguments: partial(end, function, pool.submit(function, *arguments))


def start(*words: object) -> subprocess.Popen[str]:
    """A Python process with these arguments; what it prints is kept."""
    command = [sys.executable, *map(str, words)]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}  # whatever is installed, and wherever the process is started
    return subprocess.Popen(command, env=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait until a process has ended; raises TrainingError if it failed."""
    _, err = process.communicate()
    if process.returncode:
        raise TrainingError(f"{process.args!r} failed: {(err.strip().splitlines() or ['it printed nothing'])[-1]}")


def train(data: Path, watch: Callable[[int], object] | None = None, /, **settings: object) -> dict[str, Any]:
    """result.json of `python -m ddmlp.train` with these flags: stop_after=3 is --stop-after 3. In "begun" the time of
    the first checkpoint, in "checkpoints" the seconds that each took. Workers are on a Ray of their own. No report is
    written, as no peer writes one. watch: is called over and over with the process's id while it runs. The run is not
    kept, unless its folder is given."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(str(settings.get("run", Path(folder, "run"))))
        settings |= {"data": data, "run": run, **({"address": "local"} if settings.get("workers") else {})}
        flags = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
        process = start("-m", "ddmlp.train", "--quiet", "--no-report", *flags)
        while watch and process.poll() is None:
            watch(process.pid)
        finish(process)
        events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        checkpoints = [event["seconds"] for event in events if event["event"] == "checkpoint"]
        begun = min(path.stat().st_ctime for path in run.glob("checkpoints/step-*.npz"))  # when it got its name
        return {**json.loads((run / "result.json").read_bytes()), "begun": begun, "checkpoints": checkpoints}


def train_speed(
    data: Path, hidden: int, batch: int, seconds: float, hashes: set[str] | None = None, /, **settings: object
) -> dict[str, float]:
    """rows/s of a training of a fixed number of steps, which take about so many seconds: so every repeat ends with the
    same weights. hashes: of the weights so far; raises TrainingError at a second."""
    result = train(data, **length(data, hidden, batch, seconds), **settings)
    if hashes is not None:
        hashes.add(result["weights_sha256"])
    if hashes and len(hashes) > 1:
        raise TrainingError(f"{hidden} hidden, batch {batch}: {settings} changed the weights: {sorted(hashes)}")
    return {"rows/s": result["rows_per_second"]}


def length(data: Path, hidden: int, batch: int, seconds: float) -> dict[str, int]:
    """Settings of a training that takes one process about so many seconds."""
    steps = max(1, round(SPEED / hidden * seconds / batch))
    epochs = steps // -(-rows_of(data) // batch) + 1
    return {"hidden": hidden, "batch": batch, "epochs": epochs, "stop_after": steps}


def rows_of(data: Path) -> int:
    """How many rows there are to train on."""
    return Manifest.read(data / "train").rows
