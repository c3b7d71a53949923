"""The folder of a run, its settings, and how to continue it."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.api.options import Options
from ddmlp.config import TrainConfig
from ddmlp.data.transform import Transform
from ddmlp.errors import ConfigError, DdmlpError, RunError, TrainingError
from ddmlp.files import as_path
from ddmlp.nn.augmentation import Augmentation
from ddmlp.nn.weights import Weights
from ddmlp.runs.log_files import LOGS
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run

RUNS = Path("runs")
# Settings that are computed: from the weights to begin with, from the run, and from the transform.
COMPUTED = ("init_sha256", "begun_epochs", "transform_sha256")


def run_in(folder: str | Path) -> Run:
    """The run in a folder; raises ConfigError if that is no path."""
    return Run(as_path(folder, "run", "the path of a folder").absolute())


@contextmanager
def new_run(folder: str | Path | None) -> Iterator[Run]:
    """The run in a folder, by default a new one in runs/, which is removed if no run begins in the block."""
    if folder is not None:
        yield run_in(folder)
        return
    first = not RUNS.exists()
    run = Run(_new_folder())
    try:
        yield run
    finally:
        if not run.exists:
            shutil.rmtree(run.path / LOGS, ignore_errors=True)
            with suppress(OSError):  # other files are kept
                run.path.rmdir()
                if first:
                    run.path.parent.rmdir()


def _new_folder() -> Path:
    """Make a folder that is named by the time. `mkdir` decides if two programs choose the same name."""
    name = time.strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        path = (RUNS / (name if number == 1 else f"{name}-{number}")).absolute()
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise RunError(f"{path} cannot be the folder of a run: {error.strerror or error}") from None
    return path


def settings(
    given: dict[str, Any],
    begun: Origin | None,
    init: Weights | None,
    transform: Transform | None = None,
    *,
    follow: bool,
) -> TrainConfig:
    """The settings of a run: those given, and for the rest those that it was begun with, or else the defaults.

    follow: whether the rows are followed, by what they are. Raises ConfigError.
    """
    given = {name: plain(value) for name, value in given.items() if value is not None}
    names = [name for name in TrainConfig.names() if name not in COMPUTED]
    if unknown := sorted(given.keys() - set(names)):
        raise ConfigError(f"there is no setting {unknown[0]!r}, expected one of {', '.join(names)}")
    if type(augment := given.get("augment", "")) is str and augment:
        given["augment"] = Augmentation.of(augment).text
    if begun:
        return replace(begun.config.extended_to(given.pop("epochs", begun.config.epochs)), **given)
    followed: dict[str, Any] = {}
    if follow or given.get("follow"):
        followed = {"follow": True, "epochs": 1, "lr_schedule": "constant"}
    weights = {"hidden": init.shape.hidden, "init_sha256": init.sha256()} if init else {}
    changed = {"transform_sha256": transform.sha256} if transform else {}
    return TrainConfig(**{**followed, **weights, **changed, **given})


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


def resume_call(run: Path, options: Options, data: str | Path | None, transform: Transform | None) -> str:
    """How a program continues a run, in words.

    data: the stream, or the folder if it was moved; transform: that of the run, which is given again if its name does
    not say where it is.
    """
    given = {**({} if data is None else {"data": str(data)}), **options.given}
    words = [repr(str(run)), *(f"{name}={value!r}" for name, value in given.items())]
    if transform and not transform.placed:
        words.append(f"transform={transform.function}")
    return f"continue with: ddmlp.resume({', '.join(words)})"


def plain(value: Any) -> Any:
    """Return a NumPy number, for example from a search over parameters, as a Python number; other values unchanged."""
    return value.item() if isinstance(value, np.generic) else value
