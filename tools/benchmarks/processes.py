"""Processes of Python that are measured from outside, with the modules of this repository."""

import os
import subprocess
import sys
from pathlib import Path

from ddmlp.errors import TrainingError

ROOT = Path(__file__).resolve().parents[2]


def start(*words: object) -> subprocess.Popen[str]:
    """A Python process with these arguments; what it says is kept."""
    command = [sys.executable, *map(str, words)]
    ours = {**os.environ, "PYTHONPATH": str(ROOT)}  # whatever is installed, and wherever the process is started
    return subprocess.Popen(command, env=ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> str:
    """What a process has said when it ends; raises TrainingError where it fails."""
    out, err = process.communicate()
    if process.returncode:
        raise TrainingError(f"{process.args!r} failed: {err.strip()}")
    return out


def run(*words: object) -> str:
    """What a Python process with these arguments says; raises TrainingError where it fails."""
    return output(start(*words))
