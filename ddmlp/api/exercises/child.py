"""A process that checks the function in a learner's file. Its time, its memory and its output are bounded."""

import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ddmlp.errors import text_of

SECONDS = 20  # for the whole check
MEMORY = 4 << 30
LONGEST = 500  # characters of an answer


def check_file(path: Path, name: str, seconds: float = SECONDS) -> str:
    """Check the function `name` in a file, in another process; returns what is wrong with it, "" if nothing is.

    Parameters
    ----------
    path
        The file. All that it does is bounded, and what it prints is dropped; but nothing else is forbidden to it.
    name
        The function.
    seconds
        After this time, the process is killed.
    """
    # -P: modules are not looked for in the current folder, where the learner's files may have any name.
    words = [sys.executable, "-P", "-c", f"from {__name__} import run; run()", str(path), name]
    found = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               start_new_session=True, env=os.environ | {"PYTHONPATH": found})  # fmt: skip
    try:
        said, _ = process.communicate(timeout=seconds)
        return str(json.loads(said))[:LONGEST]
    except subprocess.TimeoutExpired:
        return f"{path} did not end within {seconds:g} s: look for an endless loop"
    except ValueError:
        return f"{path} ended the process that checks it, with status {process.returncode}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what the file has started
        if process.stdout:
            process.stdout.close()  # not read to its end: a process that has left the group may hold it open
        process.wait()


def checked(path: Path, name: str) -> str:
    """Check the file in this process."""
    try:
        function = runpy.run_path(str(path)).get(name)
        if not callable(function):
            return f"{path} does not define the function {name}"
        from ddmlp.api.exercises.functions import CHECKS

        return CHECKS[name](function)
    except BaseException as error:
        lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == str(path)]
        where = f", line {lines[-1]}," if lines else ""
        return f"{path}{where} raised {type(error).__name__}: {text_of(error)}"


def run() -> NoReturn:
    """The program of the process: writes the answer to standard output, as JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the file prints
    with suppress(ValueError, OSError):  # where it cannot be limited
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    json.dump(checked(Path(sys.argv[1]), sys.argv[2]), answers)
    answers.flush()
    os._exit(0)  # without what the file has left to run at exit
