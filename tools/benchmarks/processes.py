"""New processes, so that the state of this one affects no measurement: commands of ddmlp, and functions."""

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
# Set before NumPy is imported, because not every library can change its threads later.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
SPEED = 40e6  # approximate rows/s times hidden units
Result = TypeVar("Result")


def in_process(function: Callable[..., Result], *arguments: Any, threads: int = 1) -> Result:
    """Call a function in a new process with this number of threads; return its result."""
    return in_processes(function, [arguments], threads)[0]


def in_processes(function: Callable[..., Result], calls: Sequence[Sequence[Any]], threads: int = 1) -> list[Result]:
    """Call a function in several new processes at once, with the arguments of each call; return the results.

    Raises the exception of a call, and TrainingError if a process died.
    """
    with ExitStack() as stack:
        begin = [stack.enter_context(new_process(threads)) for _ in calls]
        return [end() for end in [each(function, *call) for each, call in zip(begin, calls, strict=True)]]


@contextmanager
def new_process(threads: int = 1) -> Iterator[Callable[..., Callable[[], Any]]]:
    """Start a new process with this number of threads.

    Yields a function that starts a call in the process, and returns a function that waits for the result. All calls run
    in the same process, until the block ends.
    """
    variables = {"PYTHONPATH": str(ROOT), **dict.fromkeys(THREADS, str(threads))}
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        with mock.patch.dict(os.environ, variables):
            pool.submit(int).result()  # starts the process

        def end(function: Callable[..., Any], future: Future[Any]) -> Any:
            try:
                return future.result()
            except BrokenProcessPool as error:
                raise TrainingError(f"the process of {function.__qualname__} died: {error}") from error

        yield lambda function, *arguments: partial(end, function, pool.submit(function, *arguments))


def start(*words: object) -> subprocess.Popen[str]:
    """Start Python with these arguments; its output is captured."""
    command = [sys.executable, *map(str, words)]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout, whatever is installed
    return subprocess.Popen(command, env=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait until a process ends; raises TrainingError if it failed."""
    _, err = process.communicate()
    if process.returncode:
        raise TrainingError(f"{process.args!r} failed: {(err.strip().splitlines() or ['no error message'])[-1]}")


def train(data: Path | str, watch: Callable[[int], object] | None = None, /, **settings: object) -> dict[str, Any]:
    """Run `python -m ddmlp.train` with the given flags: stop_after=3 means --stop-after 3.

    Workers run on a Ray cluster started for them. No report is written, because the peers write none. The run folder is
    removed unless `run` is given.

    Parameters
    ----------
    data : Path or str
        Folder with train/ and test/, or the URI of one.
    watch : callable, optional
        Called repeatedly with the id of the process while it runs.

    Returns
    -------
    dict
        The content of result.json, with the time of the first checkpoint in "begun" and the seconds of each checkpoint
        in "checkpoints".
    """
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
        begun = min(path.stat().st_ctime for path in run.glob("checkpoints/step-*.npz"))  # when it was renamed
        return {**json.loads((run / "result.json").read_bytes()), "begun": begun, "checkpoints": checkpoints}


def train_speed(
    data: Path, hidden: int, batch: int, seconds: float, hashes: set[str] | None = None, /, **settings: object
) -> dict[str, float]:
    """Return the rows/s of a training that takes about `seconds`.

    The number of steps is fixed, so every repeat must end with the same weights. `hashes` collects the hashes of the
    weights; TrainingError is raised if it gets a second one.
    """
    result = train(data, **length(data, hidden, batch, seconds), **settings)
    if hashes is not None:
        hashes.add(result["weights_sha256"])
    if hashes and len(hashes) > 1:
        raise TrainingError(
            f"{hidden} hidden, batch {batch}, {settings}: found the weights {sorted(hashes)}, expected equal ones"
        )
    return {"rows/s": result["rows_per_second"]}


def length(data: Path, hidden: int, batch: int, seconds: float) -> dict[str, int]:
    """Return settings for a training that takes one process about `seconds`."""
    steps = max(1, round(SPEED / hidden * seconds / batch))
    epochs = steps // -(-rows_of(data) // batch) + 1
    return {"hidden": hidden, "batch": batch, "epochs": epochs, "stop_after": steps}


def rows_of(data: Path) -> int:
    """Return the number of training rows."""
    return Manifest.read(data / "train").rows
