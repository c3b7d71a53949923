"""The folder of a run, its settings, and how to continue it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.api.options import Options
from ddmlp.config import TrainConfig
from ddmlp.errors import ConfigError, DdmlpError, TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run

COMPUTED = ("init_sha256", "begun_epochs")  # of the settings, from the weights to begin with and from the run


def new_run(path: str | Path | None) -> Run:
    """The run in a folder, by default a new one in runs/ that is named by the time."""
    if path is None:
        path = name = Path("runs", time.strftime("%Y%m%d-%H%M%S"))
        number = 1
        while path.exists():
            number += 1
            path = name.with_name(f"{name.name}-{number}")
    if not isinstance(path, str | os.PathLike) or not str(path) or "\0" in str(path):
        raise ConfigError(f"--run is {path!r}, expected the path of a folder")
    return Run(Path(path).absolute())


def settings(given: dict[str, Any], begun: Origin | None, init: Weights | None, *, follow: bool) -> TrainConfig:
    """The settings of a run: those given, and for the rest those that it was begun with, or else the defaults.

    follow: whether the rows are followed, by what they are. Raises ConfigError.
    """
    given = {name: plain(value) for name, value in given.items() if value is not None}
    names = [name for name in TrainConfig.names() if name not in COMPUTED]
    if unknown := sorted(given.keys() - set(names)):
        raise ConfigError(f"there is no setting {unknown[0]!r}, expected one of {', '.join(names)}")
    if begun:
        return replace(begun.config.extended_to(given.pop("epochs", begun.config.epochs)), **given)
    followed: dict[str, Any] = {}
    if follow or given.get("follow"):
        followed = {"follow": True, "epochs": 1, "lr_schedule": "constant"}
    weights = {"hidden": init.shape.hidden, "init_sha256": init.sha256()} if init else {}
    return TrainConfig(**{**followed, **weights, **given})


@contextmanager
def hinting(run: Run, hint: Callable[[], str]) -> Iterator[None]:
    """Add how to continue to an error from the block, if the run has a checkpoint."""
    try:
        yield
    except TrainingError:  # it would occur again
        raise
    except (DdmlpError, OSError, KeyboardInterrupt) as error:
        if run.exists and run.checkpoints.paths():
            error.add_note(hint())
        raise


def resume_call(run: Path, options: Options, data: str | Path | None) -> str:
    """How a program continues a run, in words. data: the stream, or the folder if it was moved."""
    given = {**({} if data is None else {"data": str(data)}), **options.given}
    words = [repr(str(run)), *(f"{name}={value!r}" for name, value in given.items())]
    return f"continue with: ddmlp.resume({', '.join(words)})"


def plain(value: Any) -> Any:
    """Return a NumPy number, for example from a search over parameters, as a Python number; other values unchanged."""
    return value.item() if isinstance(value, np.generic) else value
