"""ddmlp: a streaming distributed trainer with the same result for any number of workers.

>>> import ddmlp
>>> result = ddmlp.fit("data", workers=4, hidden=400, epochs=30)  # doctest: +SKIP
>>> result.test_error, result.weights_sha256  # doctest: +SKIP
>>> ddmlp.load("runs/one").predict(images)  # doctest: +SKIP

Importing the package is fast and does not import NumPy. A name loads what it needs at its first use (PEP 562).
"""

# Python 3.8 can also read this file, so that a Python too old for the rest prints an error that names the remedy.
from __future__ import annotations

import logging
import platform
import shlex
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddmlp import errors
    from ddmlp import sklearn as sklearn
    from ddmlp.api.audit import Replayed, Verified, replay, verify
    from ddmlp.api.callback import Callback
    from ddmlp.api.dataset import Dataset
    from ddmlp.api.fit import fit
    from ddmlp.api.mlflow import MLflow
    from ddmlp.api.model import evaluate, load
    from ddmlp.api.result import Result
    from ddmlp.api.resume import resume
    from ddmlp.api.tensorboard import TensorBoard
    from ddmlp.api.wandb import WandB
    from ddmlp.config import TrainConfig
    from ddmlp.data.writer import DatasetWriter
    from ddmlp.inference.committee import Committee
    from ddmlp.inference.evaluation import Evaluation
    from ddmlp.inference.model import Model

__version__ = "0.2.0"

# The program that imports ddmlp decides what is logged, and where.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "Callback",
    "Committee",
    "Dataset",
    "DatasetWriter",
    "Evaluation",
    "MLflow",
    "Model",
    "Replayed",
    "Result",
    "TensorBoard",
    "TrainConfig",
    "Verified",
    "WandB",
    "errors",
    "evaluate",
    "fit",
    "load",
    "replay",
    "resume",
    "verify",
]
_MODULES = {  # by name; None: the name is itself a module. sklearn needs an extra, so it is not in __all__
    "Callback": "api.callback",
    "Committee": "inference.committee",
    "Dataset": "api.dataset",
    "DatasetWriter": "data.writer",
    "Evaluation": "inference.evaluation",
    "MLflow": "api.mlflow",
    "Model": "inference.model",
    "Replayed": "api.audit",
    "Result": "api.result",
    "TensorBoard": "api.tensorboard",
    "TrainConfig": "config",
    "Verified": "api.audit",
    "WandB": "api.wandb",
    "errors": None,
    "evaluate": "api.model",
    "fit": "api.fit",
    "load": "api.model",
    "replay": "api.audit",
    "resume": "api.resume",
    "sklearn": None,
    "verify": "api.audit",
}

# `python -m ddmlp.COMMAND` runs ddmlp/cli/COMMAND.py: the package also looks for its modules in that folder.
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
        remedy = "install ddmlp again, with its dependencies"
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


def _load(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES[name]
    if module is None:
        return import_module(f"{__name__}.{name}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{module}"), name)
    return found


if not TYPE_CHECKING:  # a type checker would accept any name
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
