"""Runs for tests: begin, train, and recompute them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ddmlp.cli import replay, verify
from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.runs.events import Event
from ddmlp.runs.origin import Origin
from ddmlp.runs.result import RunResult
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.setup import build_trainer
from tests.support.helpers import inside, plain

# Nothing divides evenly: 27 steps per epoch, the last of 100 rows; microbatches of 32 rows, the last ones of 22 and 4.
CONFIG = TrainConfig(hidden=20, batch=150, microbatch=32, epochs=2)
ORIGIN = Origin(TrainConfig(hidden=7, lr=0.5, seed=2**64 - 1), Path("/some/data"), "a" * 64)  # without a dataset


class Row(NamedTuple):
    """A row of a table of faults: what and when, the workers, how often it fired, and whether the weights are right."""

    what: str
    when: str
    workers: str
    fired: str
    fine: bool


def job(data: Path, run: Path, workers: int, config: TrainConfig = CONFIG, every: int = 10, **more: Any) -> Job:
    return Job(config, data, run, workers, checkpoint_every=every, **more)


def begin(path: Path, config: TrainConfig, data: Path) -> None:
    """Create the folder of a run."""
    path.mkdir()
    Run(path).create(Origin.from_manifest(config, data, Dataset(data / "train").manifest))


def train(trainer: Any, path: Path, until: Callable[[], bool] = lambda: False, seconds: float = 0.2) -> dict[str, Any]:
    """Train to the end, and return the result; or stop with a checkpoint once `until` is true, and return {}.

    `until` is called every `seconds`; 0 calls it after each step.
    """
    run = Run(path)
    try:
        while not until():
            report = trainer.advance(seconds)
            run.record(report.events)
            if report.result is not None:
                run.write_result(report.result)
                found: dict[str, Any] = plain(report.result)
                return found
        trainer.checkpoint()
        return {}
    finally:
        trainer.close()


def alone(data: Path, run: Path, config: TrainConfig = CONFIG) -> dict[str, Any]:
    """The result of one process, undisturbed."""
    begin(run, config, data)
    return train(build_trainer(job(data, run, 0, config)), run)


def finish(trainer: Any) -> tuple[list[Event], RunResult]:
    """Train to the end, and close the trainer; the events and the result."""
    events: list[Event] = []
    try:
        while True:
            report = trainer.advance(0.2)
            events += report.events
            if report.result is not None:
                return events, report.result
    finally:
        trainer.close()


def weights_of(run: Path) -> str:
    """Return the SHA-256 of the final weights of a run."""
    found: str = json.loads((run / "result.json").read_bytes())["weights_sha256"]
    return found


def assert_computed_again(path: Path, result: dict[str, Any]) -> None:
    """Assert that replay and verify get the weights of the result."""
    for command in (replay.main, verify.main):
        done = inside(command, path)
        assert done.returncode == 0, done.stderr
        assert f"weights sha256  {result['weights_sha256']}" in done.stdout


def verified(path: Path, *more: object) -> bool:
    """Whether one process gets the same weights at every checkpoint. more: arguments of `ddmlp verify`."""
    done = inside(verify.main, path, *more)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.returncode == 0
