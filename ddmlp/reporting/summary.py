"""Summarises a run from the files in its folder, and says what they cannot show."""

import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ddmlp.config import TrainConfig, flag
from ddmlp.data.dataset import Dataset
from ddmlp.errors import DatasetError, DdmlpError, RunError
from ddmlp.inference.evaluation import Evaluation, evaluate
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import load_model, model_of
from ddmlp.reporting.mistakes import Mistake, most_confident
from ddmlp.runs.hash_chain import ChainEntry, HashChain
from ddmlp.runs.origin import Origin
from ddmlp.runs.records import Records
from ddmlp.runs.result import RunResult
from ddmlp.runs.run import Run

T = TypeVar("T")


@dataclass(frozen=True)
class RunSummary:
    """What is known of a run.

    Parameters
    ----------
    path
        Its folder.
    origin
        What determines its result.
    records
        Its events.
    result
        Its result; None if it has none, or has been resumed since.
    last
        The last entry of its hash chain.
    model, model_step
        Its final model and number of steps, or else those of its newest checkpoint.
    evaluation, mistakes
        That model on the test rows, and its most confident mistakes.
    missing
        What cannot be shown, and why.
    """

    path: Path
    origin: Origin
    records: Records
    result: RunResult | None
    last: ChainEntry | None
    model: Model | None
    model_step: int | None
    evaluation: Evaluation | None
    mistakes: list[Mistake]
    missing: list[str]

    @property
    def config(self) -> TrainConfig:
        """Its settings."""
        return self.origin.config

    @property
    def step(self) -> int:
        """The last position that is known."""
        if self.result:
            return self.result.steps
        lines = self.records.lines
        return max(self.last.step if self.last else 0, lines[-1].step if lines else 0)

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 of the final weights, or else of the last checkpoint's; None if there are none."""
        if self.result:
            return self.result.weights_sha256
        return self.last.weights_sha256 if self.last else None

    @property
    def headline(self) -> str:
        """The test error, or else the prequential error or the state."""
        if self.result and self.result.test_error is not None:
            return f"{self.result.test_error:.2%} test error"
        if self.result is None and self.evaluation:
            return f"{self.evaluation.error:.2%} test error at step {self.model_step:,}"
        if self.result and (first := self.result.prequential):
            return f"{first.error:.2%} prequential error"
        return self.state

    @property
    def state(self) -> str:
        """Whether it is finished, was stopped, or is unfinished."""
        if self.result is None:
            return f"unfinished: at step {self.step:,} or later"
        return "finished" if self.result.finished else f"stopped after step {self.step:,}"

    @property
    def workers(self) -> int | None:
        """The largest number of workers allowed; of an unfinished run, the last number of workers; None if unknown."""
        if self.result:
            return self.result.workers
        lines = self.records.progress
        if not lines:
            return None
        # A worker in another process always waits briefly for its first unit; without any wait, there is one process.
        return lines[-1].workers if any(line.gradients.blocked for line in lines) else 0

    @property
    def servers(self) -> int:
        """The number of servers; 1 if the run is unfinished."""
        return self.result.servers if self.result else 1

    @property
    def staleness(self) -> Counter[int]:
        """Number of updates by staleness."""
        return Counter(self.result.staleness.histogram) if self.result else self.records.staleness()

    @property
    def command(self) -> str:
        """The command that repeats the training; unless the run is asynchronous, it gives the same weights."""
        defaults = TrainConfig(epochs=1, lr_schedule="constant", follow=True) if self.config.follow else TrainConfig()
        words = ["python", "-m", "ddmlp.train", "--data", str(self.origin.data)]
        for name in TrainConfig.names():
            value = getattr(self.config, name)
            if value is True:
                words.append(flag(name))
            elif value != getattr(defaults, name):
                words += [flag(name), str(value)]
        if self.workers:
            words += ["--workers", str(self.workers)]
        if self.servers > 1:
            words += ["--servers", str(self.servers)]
        if self.result and not self.result.finished:
            words += ["--stop-after", str(self.step)]
        return shlex.join(words)

    @property
    def check(self) -> str:
        """The command that computes the run again and compares."""
        module = "ddmlp.replay" if self.config.asynchronous else "ddmlp.verify"
        return shlex.join(["python", "-m", module, str(self.path.absolute())])


def read_summary(path: Path, data: Path | None = None) -> RunSummary:
    """Read a run. Files that are missing or damaged are named in `missing`.

    Parameters
    ----------
    path
        The run's folder.
    data
        The folder with test/, if the data have moved.

    Raises
    ------
    RunError
        If the folder does not hold a run.
    """
    run = Run(path)
    origin = run.origin()
    data = data or origin.data
    missing: list[str] = []

    def tried(what: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except OSError as error:
            missing.append(f"{what}: {error.filename} cannot be read: {error.strerror}")
        except DdmlpError as error:
            missing.append(f"{what}: {error}")
        return None

    records = tried("curves", lambda: Records.read(path / "metrics.jsonl")) or Records([])
    if records.damaged:
        missing.append(
            f"curves: {records.damaged:,} lines of metrics.jsonl are damaged, or of another version of ddmlp"
        )
    links = tried("chain", lambda: HashChain(run.chain, origin.fixed).entries())
    if links == []:
        missing.append(f"chain: {run.chain} has no entry")
    last = links[-1] if links else None
    result = tried("result", run.result)
    if result and last and last.step > result.steps:
        missing.append(f"result: result.json is of step {result.steps:,}, and the run has been resumed since")
        result = None
    if not (run.path / "result.json").exists():
        missing.append("result: the run is unfinished")
    model, step = tried("weights", lambda: _model(run, result, data)) or (None, None)
    what = "confusion matrix and mistakes"
    found, mistakes = (tried(what, lambda: _recognise(model, data)) if model else None) or (None, [])
    if found and result and result.test_error not in (None, found.error):
        missing.append(
            f"original test data: on {data / 'test'}, the model now makes {found.mistakes:,} mistakes in "
            f"{found.rows:,} rows, but the run recorded a test error of {result.test_error:.2%}"
        )
    return RunSummary(path, origin, records, result, last, model, step, found, mistakes, missing)


def _model(run: Run, result: RunResult | None, data: Path) -> tuple[Model, int]:
    """Load the final model, or else that of the newest good checkpoint, with its step. Raises RunError."""
    if result:
        return load_model(run.path), result.steps
    checkpoint, _ = run.checkpoints.newest()
    if checkpoint is None:
        raise RunError(f"{run.path} has neither a result nor a good checkpoint")
    return model_of(run.path, checkpoint.weights, data), checkpoint.step


def _recognise(model: Model, data: Path) -> tuple[Evaluation, list[Mistake]]:
    if not data.is_dir():
        raise DatasetError(f"the folder {data} does not exist; `ddmlp report --data` says where the data are now")
    dataset = Dataset(data / "test")
    dataset.verify()
    found = evaluate(model.weights, dataset)
    return found, most_confident(model, dataset, found.wrong)
