"""ddmlp: a streaming distributed trainer whose result does not depend on who computed it."""

# Python 3.8, too, can read this file, so that one which cannot run the rest can say so.
from __future__ import annotations

import platform
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__version__ = "0.2.0"

# `python -m ddmlp.verify` runs ddmlp/cli/verify.py, and likewise each other command: their folder belongs to the path
# on which the modules of this package are looked up.
__path__.append(str(Path(__file__).parent / "cli"))

NEWEST_TOO_OLD = (3, 10)
NEEDED = ("filelock", "msgspec", "numba", "numpy", "pyarrow", "rich")  # by every command


class WrongPythonError(ImportError):
    """This Python is too old for ddmlp, or does not have what ddmlp needs. A program that it ends shows one line."""


def wrong_python(why: str) -> str:
    """A message that says why this Python cannot run ddmlp, and what to do."""
    checkout = Path(__file__).resolve().parents[1]
    environment = checkout / ".venv" / "bin" / "activate"
    python = sys.executable if sys.version_info[:2] > NEWEST_TOO_OLD else "python3.11"
    if environment.exists() and Path(sys.prefix).resolve() != environment.parents[1]:
        remedy = f"activate the environment that can: source {shlex.quote(str(environment))}"
    elif (checkout / "pyproject.toml").exists():
        begin = f"cd {shlex.quote(str(checkout))} && {shlex.quote(python)} -m venv .venv"
        remedy = f"make an environment: {begin} && source .venv/bin/activate && pip install -e ."
    else:
        remedy = "install ddmlp anew, with all that it needs"
    return f"{sys.executable} cannot run ddmlp: {why}; {remedy}"


def _check_python() -> None:
    """Raise WrongPythonError if this Python cannot run ddmlp."""
    if sys.version_info[:2] <= NEWEST_TOO_OLD:
        why = f"it is Python {platform.python_version()}, expected 3.11 or newer"
    else:
        missing = [name for name in NEEDED if find_spec(name) is None]
        if not missing:
            return
        why = "it does not have " + ", ".join(missing)
    before = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if kind is WrongPythonError:
            print(f"error: {error}", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = show
    raise WrongPythonError(wrong_python(why))


_check_python()
