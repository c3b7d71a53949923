"""Training, verify and replay as functions, which the commands of these names call."""

import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ddmlp.config import Timeouts, TrainConfig, check_workers
from ddmlp.data.manifest import Manifest
from ddmlp.errors import ConfigError, RunError
from ddmlp.nn.weights import Weights
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.audit import RecordedRun, Show
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer

if TYPE_CHECKING:  # not every training needs them
    from ddmlp.data.ingest import StreamIngest
    from ddmlp.ray_backend.driver_process import DriverProcess
    from ddmlp.runs.event_sinks import EventSink

    AnyTrainer: TypeAlias = Trainer | DriverProcess

ADVANCE_SECONDS = 0.2  # between looks at the progress and at what asks to stop


def prepare_job(
    config: TrainConfig,
    data: Path,
    run: Run,
    *,
    resume: bool = False,
    workers: tuple[int, int] = (0, 0),
    checkpoint_every: int = 10_000,
    keep: int = 3,
    stop_after: int | None = None,
    idle_timeout: float = math.inf,
    timeouts: Timeouts | None = None,
    init: Weights | None = None,
) -> tuple[Job, Origin]:
    """A job, checked against its data and, if it is resumed, against the run; and what its result is a function of.

    workers: the fewest and the most; init: the weights that the run is to begin with, whose hash is in the settings
    (see `Run.write_initial_weights`); the others: see `Job`. Raises ConfigError, DatasetError and RunError.
    """
    check_workers(*workers)
    train = Manifest.read(data / "train")
    config.check_rows(train.rows)
    fewest, most = workers
    job = Job(
        config,
        data,
        run.path.resolve(),
        most,
        checkpoint_every,
        keep,
        stop_after,
        idle_timeout,
        least=fewest,
        timeouts=timeouts or Timeouts(),
    )
    if init is not None and init.shape != job.shape(train):
        raise ConfigError(f"--init has weights of {init.shape}, but --hidden and the data need {job.shape(train)}")
    test = Manifest.read(job.test) if job.test else train
    if test.image_shape != train.image_shape or test.classes > train.classes:
        raise ConfigError(
            f"{data}/test has images of {test.image_shape} in {test.classes} classes, but {data}/train has "
            f"{train.image_shape} in {train.classes}"
        )
    origin = Origin.from_manifest(config, data, train)
    if resume:
        run.require_origin(origin)
    return job, origin


@contextmanager
def open_trainer(
    job: Job,
    *,
    address: str | None = None,
    dashboard: bool = False,
    note: Callable[[str], None] = lambda _: None,
    stopping: Sequence[int] = (),
) -> "Iterator[AnyTrainer]":
    """The trainer of a job, in this process or on Ray; it is closed at the end.

    address: see `ray_backend.choice.choose`; dashboard: whether a Ray that is started here has one; note: called with
    lines for the user; stopping: receives the numbers of signals that ask to stop. Raises KeyboardInterrupt if there is
    one, and Ray does not answer.
    """
    trainer: AnyTrainer
    if job.workers == 0:
        trainer = build_trainer(job)
    else:
        from ddmlp.nn.known_answer import check_arithmetic
        from ddmlp.ray_backend.driver_process import DriverProcess

        check_arithmetic()  # so that the kernels are compiled once, and not by each process of a node
        trainer = DriverProcess(job, address=address, dashboard=dashboard, note=note, stopping=stopping)
    with closing(trainer):
        yield trainer


def train(
    trainer: "AnyTrainer",
    record: "EventSink",
    show: Callable[[Report], None],
    *,
    stopping: Sequence[int] = (),
    follow: bool = False,
    ingest: "StreamIngest | None" = None,
) -> Report:
    """Train to the end, or until `stopping` holds the number of a signal, and then write a checkpoint; returns the last
    report.

    SIGTERM is the end of a run that follows a dataset, which has no other. Raises the error of an ingest that fails,
    once all rows that have arrived are safe.
    """
    while True:
        report = trainer.advance(ADVANCE_SECONDS)
        record(report.events)
        if report.done:
            show(report)
            return report
        failed = ingest is not None and ingest.error is not None
        if stopping or failed:
            if ingest:
                ingest.stop()
            if follow and not failed and stopping[0] == signal.SIGTERM:
                report = trainer.end()
                record(report.events)
                return report
            trainer.checkpoint()  # before anything is shown: the terminal may be gone
            if ingest and not stopping:
                ingest.raise_error()
            return report
        show(report)


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
    path: Path, *, steps: tuple[int, int] | None = None, data: Path | None = None, show: Show = lambda *_: None
) -> Verified:
    """Compute a run again in this process, and compare the weights of each checkpoint with the hash in its chain, and
    what the run has recorded with what it comes to.

    steps: only from one checkpoint to another; data: folder of train/ and test/ if the run does not find them any more.
    Raises RunError with the first stretch, or the first figure, that differs.
    """
    recorded = RecordedRun(path)
    first, last = steps or (0, recorded.steps[-1])
    for step in (first, last):
        if step not in recorded.steps:
            nearest = sorted(sorted(recorded.steps, key=lambda other: abs(other - step))[:2])
            raise ConfigError(f"--steps: {path} has no checkpoint of step {step}; the nearest are of {nearest}")
    dataset, test = recorded.open_dataset(data), recorded.open_test(data)
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


def replay(path: Path, *, data: Path | None = None, show: Show = lambda *_: None) -> Replayed:
    """Do a run again in this process, update by update, in the order of its updates.

    Raises RunError if it comes to other weights.
    """
    recorded = RecordedRun(path)
    end = recorded.entries[-1]
    redone = recorded.recomputation(recorded.open_dataset(data), 0, end.step)
    redone.advance(end.step, lambda step: show(step, end.step))
    if (found := redone.weights.sha256()) != end.weights_sha256:
        raise RunError(
            f"{path}: {end.step} updates done again come to the weights {found[:16]}..., the run says "
            f"{end.weights_sha256[:16]}...; `ddmlp verify {path}` tells where they part"
        )
    return Replayed(end.step, redone.staleness, found)
