"""Processes of Python that are measured from outside, with the modules of this repository."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ddmlp.errors import TrainingError

ROOT = Path(__file__).resolve().parents[2]
# Before NumPy is imported, because not every library can be told later.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def start(*words: object, threads: int | None = None) -> subprocess.Popen[str]:
    """A Python process with these arguments, held to so many threads; what it says is kept."""
    command = [sys.executable, *map(str, words)]
    ours = {**os.environ, "PYTHONPATH": str(ROOT)}  # whatever is installed, and wherever the process is started
    held = dict.fromkeys(THREADS, str(threads)) if threads else {}
    return subprocess.Popen(command, env=ours | held, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    """What a process has said when it ends; raises TrainingError where it fails."""
    out, err = process.communicate()
    if process.returncode:
        last = (err.strip().splitlines() or ["it said nothing"])[-1]
        raise TrainingError(f"{process.args!r} failed: {last}")
    return out


def run(*words: object) -> str:
    """What a Python process with these arguments says; raises TrainingError where it fails."""
    return output(start(*words))


def answers(count: int, module: str, *arguments: object, threads: int = 1) -> list[dict[str, Any]]:
    """The JSON objects that are the last lines of what so many processes of `python -m module` at once print."""
    with ExitStack() as ends:
        started = [ends.enter_context(start("-m", module, *arguments, threads=threads)) for _ in range(count)]
        return [json.loads(output(process).splitlines()[-1]) for process in started]


def answer(module: str, *arguments: object, threads: int = 1) -> dict[str, Any]:
    """The answer of one such process."""
    return answers(1, module, *arguments, threads=threads)[0]
