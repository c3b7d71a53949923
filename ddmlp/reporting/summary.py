"""What a run tells, read from its folder, and what it cannot tell."""

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
from ddmlp.inference.model import Model, load_model, model_of
from ddmlp.reporting.mistakes import Mistake, most_confident
from ddmlp.runs.events import Records
from ddmlp.runs.hash_chain import ChainEntry, HashChain
from ddmlp.runs.origin import Origin
from ddmlp.runs.result import RunResult
from ddmlp.runs.run import Run

T = TypeVar("T")


@dataclass(frozen=True)
class RunSummary:
    """A run. result: None where it has not come to one, or has gone on since; last: the last link of the chain; model,
    model_step: the weights of its end, or else of its newest checkpoint; evaluation, mistakes: what these make
    of the test rows; missing: what cannot be shown, and why."""

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
        return self.origin.config

    @property
    def step(self) -> int:
        """The last position that is known of."""
        if self.result:
            return self.result.steps
        lines = self.records.lines
        return max(self.last.step if self.last else 0, lines[-1].step if lines else 0)

    @property
    def weights_sha256(self) -> str | None:
        """Of the weights of its end, or else of its last checkpoint; None if there are none."""
        if self.result:
            return self.result.weights_sha256
        return self.last.weights_sha256 if self.last else None

    @property
    def headline(self) -> str:
        """The test error, or how far it is if there is none."""
        if self.result and self.result.test_error is not None:
            return f"{self.result.test_error:.2%} test error"
        if self.result is None and self.evaluation:
            return f"{self.evaluation.error:.2%} test error at step {self.model_step:,}"
        if self.result and (first := self.result.prequential):
            return f"{first.error:.2%} mistaken before trained on"
        return self.state

    @property
    def state(self) -> str:
        if self.result is None:
            return f"not ended: at step {self.step:,} or later"
        return "finished" if self.result.finished else f"stopped after step {self.step:,}"

    @property
    def workers(self) -> int | None:
        """How many it was allowed; of a run that has not ended, how many there were last; None where nobody knows."""
        if self.result:
            return self.result.workers
        lines = self.records.progress
        if not lines:
            return None
        # A worker in another process always waits a little for its first unit.
        return lines[-1].workers if any(line.gradients.blocked for line in lines) else 0

    @property
    def staleness(self) -> Counter[int]:
        """How many updates there were of each staleness."""
        return Counter(self.result.staleness.histogram) if self.result else self.records.staleness()

    @property
    def command(self) -> str:
        """What trains the same again: to the same weights, where the order of updates is the plan's."""
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
        if self.result and not self.result.finished:
            words += ["--stop-after", str(self.step)]
        return shlex.join(words)

    @property
    def check(self) -> str:
        """What computes the run again and compares."""
        module = "ddmlp.replay" if self.config.asynchronous else "ddmlp.verify"
        return shlex.join(["python", "-m", module, str(self.path.absolute())])


def read_summary(path: Path, data: Path | None = None) -> RunSummary:
    """Read a run, or what is left of it. data: where its data are, if not where they were. Raises RunError if there
    is no run."""
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
        missing.append(f"lines of metrics.jsonl that are damaged, or another version's: {records.damaged:,}")
    links = tried("chain", lambda: HashChain(run.chain, origin.fixed).entries())
    if links == []:
        missing.append(f"chain: {run.chain} has no link")
    last = links[-1] if links else None
    result = tried("result", run.result)
    if result and last and last.step > result.steps:
        missing.append(f"result: result.json is of step {result.steps:,}, and the run has gone on since")
        result = None
    if not (run.path / "result.json").exists():
        missing.append("result: the run has not ended")
    model, step = tried("weights", lambda: _model(run, result, data)) or (None, None)
    what = "confusion matrix and mistakes"
    found, mistakes = (tried(what, lambda: _recognise(model, data)) if model else None) or (None, [])
    if found and result and result.test_error not in (None, found.error):
        missing.append(
            f"test data of the run: those in {data / 'test'} now give {found.mistakes:,} mistakes in {found.rows:,} "
            f"rows, and the run came to a test error of {result.test_error:.2%}"
        )
    return RunSummary(path, origin, records, result, last, model, step, found, mistakes, missing)


def _model(run: Run, result: RunResult | None, data: Path) -> tuple[Model, int]:
    """The weights of the run's end, or else of its newest good checkpoint, and their step; raises RunError."""
    if result:
        return load_model(run.path), result.steps
    checkpoint, _ = run.checkpoints.newest()
    if checkpoint is None:
        raise RunError(f"{run.path} has neither a result nor a good checkpoint")
    return model_of(run.path, checkpoint.weights, data), checkpoint.step


def _recognise(model: Model, data: Path) -> tuple[Evaluation, list[Mistake]]:
    if not data.is_dir():
        raise DatasetError(f"there is no folder {data}; --data says where the data are now")
    dataset = Dataset(data / "test")
    dataset.verify()
    found = evaluate(model.weights, dataset)
    return found, most_confident(model, dataset, found.wrong)
