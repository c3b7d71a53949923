"""Computes a run again and compares it with what was recorded: verify and replay."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ddmlp.errors import ConfigError, RunError
from ddmlp.training.audit import RecordedRun, Show


@dataclass(frozen=True)
class Verified:
    """What was computed again, and found to be as recorded.

    Parameters
    ----------
    first, last, checkpoints
        The steps, and how many checkpoints they have.
    lines, damaged
        Of metrics.jsonl, so many; and how many of all cannot be read.
    result
        Whether result.json was compared: it is there, and its step was reached.
    tested
        Whether the test errors were: there are test data.
    weights_sha256, chain
        Of the last of the steps.
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
    show: Show = lambda *_: None,
) -> Verified:
    """Compute a run again in this process, and compare the weights of each checkpoint with the hash in its chain, and
    what the run has recorded with what it comes to.

    steps: only from one checkpoint to another; data: folder of train/ and test/ if the run does not find them any more.
    Raises RunError with the first stretch, or the first figure, that differs.
    """
    path, folder = Path(run), None if data is None else Path(data)
    recorded = RecordedRun(path)
    first, last = steps or (0, recorded.steps[-1])
    for step in (first, last):
        if step not in recorded.steps:
            nearest = sorted(sorted(recorded.steps, key=lambda other: abs(other - step))[:2])
            raise ConfigError(f"--steps: {path} has no checkpoint of step {step}; the nearest are of {nearest}")
    dataset, test = recorded.open_dataset(folder), recorded.open_test(folder)
    redone, figures = recorded.recomputation(dataset, first, last), recorded.figures(dataset, test, first)
    begin = redone.step
    if differs := recorded.first_difference(redone, last, show, figures):
        before = max([step for step in recorded.steps if step < differs.step], default=0)
        raise RunError(
            f"{path} differs in steps {before}..{differs.step}: computed again they come to the weights "
            f"{redone.weights.sha256()[:16]}..., the run says {differs.weights_sha256[:16]}..."
        )
    compared = [entry for entry in recorded.entries if begin <= entry.step <= last]
    fixed = {"image_shape": dataset.manifest.image_shape, "dataset_sha256": recorded.origin.dataset_sha256}
    result = last == recorded.steps[-1] and figures.finish(last, redone.weights, fixed)
    digests = redone.weights.sha256(), compared[-1].digest
    return Verified(begin, last, len(compared), figures.compared, figures.damaged, result, test is not None, *digests)


@dataclass(frozen=True)
class Replayed:
    """The updates that were done again: how many, how many with each staleness, and their weights, which are the
    run's."""

    updates: int
    staleness: Mapping[int, int]
    weights_sha256: str


def replay(run: str | Path, *, data: str | Path | None = None, show: Show = lambda *_: None) -> Replayed:
    """Do a run again in this process, update by update, in the order of its updates.

    Raises RunError if it comes to other weights.
    """
    path = Path(run)
    recorded = RecordedRun(path)
    end = recorded.entries[-1]
    redone = recorded.recomputation(recorded.open_dataset(None if data is None else Path(data)), 0, end.step)
    redone.advance(end.step, lambda step: show(step, end.step))
    if (found := redone.weights.sha256()) != end.weights_sha256:
        raise RunError(
            f"{path}: {end.step} updates done again come to the weights {found[:16]}..., the run says "
            f"{end.weights_sha256[:16]}...; `ddmlp verify {path}` tells where they part"
        )
    return Replayed(end.step, redone.staleness, found)
