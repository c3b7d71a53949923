"""Computes a run again and compares it with what was recorded: verify and replay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddmlp.api.transform import transform_again
from ddmlp.errors import ConfigError, RunError
from ddmlp.files import as_path
from ddmlp.training.audit import RecordedRun, Show

FOLDER = "the path of a folder"


@dataclass(frozen=True)
class Verified:
    """The outcome of `verify`: what was computed again and agrees with the record.

    Parameters
    ----------
    first, last, checkpoints
        The range of steps, and the number of its checkpoints.
    lines, damaged
        Lines of metrics.jsonl that were compared, and lines that are damaged.
    result
        Whether result.json was compared: it exists, and its step was reached.
    tested
        Whether the test errors were compared: there are test data.
    weights_sha256, chain
        At the last step.
    """

    first: int
    last: int
    checkpoints: int
    lines: int
    damaged: int
    result: bool
    tested: bool
    weights_sha256: str
    chain: str


def verify(
    run: str | Path,
    *,
    steps: tuple[int, int] | None = None,
    data: str | Path | None = None,
    transform: Callable[..., Any] | str | None = None,
    show: Show = lambda *_: None,
) -> Verified:
    """Compute a run again in this process, and compare it with its record.

    The weights of each checkpoint are compared with their hash in the chain, and the recorded figures with the computed
    ones.

    Parameters
    ----------
    run : str or Path
        The folder of the run.
    steps : (int, int), optional
        Only the steps from one checkpoint to another.
    data : str or Path, optional
        The folder of train/ and test/, if it is not where the run was begun.
    transform : function or str, optional
        The transform that the run was begun with, if it is not found where it was; see `fit`.
    show : callable
        Called with the steps done and the steps in all.

    Returns
    -------
    Verified

    Raises
    ------
    RunError
        Weights or a figure differ; the message names the first range of steps, or the first figure. Or there is no run,
        or its transform has changed.
    ConfigError
        There is no checkpoint of one of the `steps`.
    DatasetError
        The data are damaged.

    Examples
    --------
    >>> import numpy as np
    >>> import ddmlp
    >>> images, labels = np.zeros((64, 4, 4), np.uint8), np.arange(64) % 2
    >>> result = ddmlp.fit((images, labels), run="runs/one", hidden=4, epochs=2)
    >>> found = ddmlp.verify(result.run)
    >>> found.first, found.last, found.weights_sha256 == result.weights_sha256
    (0, 16, True)
    """
    path, folder = as_path(run, "run", FOLDER), None if data is None else as_path(data, "data", FOLDER)
    if steps is not None and not (isinstance(steps, tuple | list) and [type(each) for each in steps] == [int, int]):
        raise ConfigError(f"steps is {steps!r}, expected the steps of two checkpoints, the first and the last")
    recorded = RecordedRun(path)
    changed = transform_again(transform, recorded.origin, path)
    first, last = steps or (0, recorded.steps[-1])
    for step in (first, last):
        if step not in recorded.steps:
            nearest = sorted(sorted(recorded.steps, key=lambda other: abs(other - step))[:2])
            raise ConfigError(f"{path} has no checkpoint of step {step}; the nearest are of {nearest}")
    dataset, test = recorded.open_dataset(folder), recorded.open_test(folder)
    redone, figures = recorded.recomputation(dataset, first, last, changed), recorded.figures(dataset, test, first)
    begin = redone.step
    if differs := recorded.first_difference(redone, last, show, figures):
        before = max([step for step in recorded.steps if step < differs.step], default=0)
        raise RunError(
            f"{path} differs in steps {before}..{differs.step}: computed again, the weights are "
            f"{redone.weights.sha256()[:16]}..., expected {differs.weights_sha256[:16]}... as recorded"
        )
    compared = [entry for entry in recorded.entries if begin <= entry.step <= last]
    fixed = {"image_shape": dataset.manifest.image_shape, "dataset_sha256": recorded.origin.dataset_sha256}
    result = last == recorded.steps[-1] and figures.finish(last, redone.weights, fixed)
    digests = redone.weights.sha256(), compared[-1].digest
    return Verified(begin, last, len(compared), figures.compared, figures.damaged, result, test is not None, *digests)


@dataclass(frozen=True)
class Replayed:
    """The outcome of `replay`.

    Parameters
    ----------
    updates : int
        The number of updates.
    staleness : mapping of int to int
        The number of updates with each staleness, in versions of the weights.
    weights_sha256 : str
        The SHA-256 of the weights after the last update, which is that of the run.
    """

    updates: int
    staleness: Mapping[int, int]
    weights_sha256: str


def replay(
    run: str | Path,
    *,
    data: str | Path | None = None,
    transform: Callable[..., Any] | str | None = None,
    show: Show = lambda *_: None,
) -> Replayed:
    """Compute a run again in this process, update by update, in the order of its update log.

    Parameters
    ----------
    run, data, transform, show
        As for `verify`.

    Returns
    -------
    Replayed

    Raises
    ------
    RunError
        The weights differ, there is no run, or its transform has changed.
    DatasetError
        The data are damaged.

    Examples
    --------
    >>> import numpy as np
    >>> import ddmlp
    >>> images, labels = np.zeros((64, 4, 4), np.uint8), np.arange(64) % 2
    >>> result = ddmlp.fit((images, labels), run="runs/two", hidden=4, epochs=2, delay=1)
    >>> ddmlp.replay(result.run).staleness
    Counter({1: 15, 0: 1})
    """
    path, folder = as_path(run, "run", FOLDER), None if data is None else as_path(data, "data", FOLDER)
    recorded = RecordedRun(path)
    changed = transform_again(transform, recorded.origin, path)
    end = recorded.entries[-1]
    redone = recorded.recomputation(recorded.open_dataset(folder), 0, end.step, changed)
    redone.advance(end.step, lambda step: show(step, end.step))
    if (found := redone.weights.sha256()) != end.weights_sha256:
        raise RunError(
            f"{path}: after {end.step} updates the weights are {found[:16]}..., expected "
            f"{end.weights_sha256[:16]}... as recorded; `ddmlp verify {path}` finds the first difference"
        )
    return Replayed(end.step, redone.staleness, found)
