"""Train: python -m ddmlp.train --data DIR --workers N"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.continuation import Continuation
from ddmlp.cli.report import report_on
from ddmlp.cli.shell import python_command
from ddmlp.cli.signals import stop_requests
from ddmlp.cli.terminal import command
from ddmlp.cli.train_arguments import CLASSES, parse, streamed
from ddmlp.config import TrainConfig
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.errors import ConfigError, DatasetError
from ddmlp.runs.event_sinks import recording

if TYPE_CHECKING:  # these import NumPy, which --help and a bad flag need not wait for
    from ddmlp.cli.progress import RunProgress
    from ddmlp.data.ingest import StreamIngest
    from ddmlp.nn.weights import Weights
    from ddmlp.runs.origin import Origin
    from ddmlp.runs.result import RunResult
    from ddmlp.runs.run import Run
    from ddmlp.training.job import Job

POLL_SECONDS = 0.2  # between looks for the first rows
INTERRUPTED = 130
RAY_JOB = "working_dir_files"  # of the path of a job's working directory, which is a copy of the user's


def find_data(asked: Path | None, *, follow: bool) -> Path:
    """The folder with train/ and, unless rows may still come, test/; raises ConfigError if there is none."""
    data = asked or Path("data")
    if asked is None and not data.exists():
        commands = python_command("fetch", "mnist"), python_command("convert", "mnist", "data")
        raise ConfigError(
            f"no data: there is no folder data/; name yours by --data, or get MNIST by:\n{' && '.join(commands)}"
        )
    for part in () if follow else ("train", "test"):
        if not (data / part / NAME).exists():
            raise ConfigError(
                f"{data} has no dataset {part}/; name by --data a folder that `ddmlp convert` wrote, also if the "
                "data of the run are elsewhere now"
            )
    return data.resolve()


def configure(args: argparse.Namespace, begun: "Origin | None", init: "Weights | None" = None) -> TrainConfig:
    """The settings: those given, and for the rest those that the run was begun with, or else the defaults.

    init: the weights to begin with, if they are given.
    """
    given = {name: value for name in TrainConfig.names() if (value := getattr(args, name, None)) is not None}
    if begun:
        return replace(begun.config.extended_to(given.pop("epochs", begun.config.epochs)), **given)
    stream = {"epochs": 1, "lr_schedule": "constant"} if args.follow else {}
    weights = {"hidden": init.shape.hidden, "init_sha256": init.sha256()} if init else {}
    return TrainConfig(**{**stream, **weights, **given})


@contextmanager
def spooling(
    args: argparse.Namespace, config: TrainConfig, run: "Run", note: Callable[[str], None]
) -> "Iterator[StreamIngest | None]":
    """What puts a stream on disk, if the data are one."""
    if not streamed(args):
        yield None
        return
    from ddmlp.data.ingest import StreamIngest
    from ddmlp.data.sources import open_source

    path, classes = run.spool / "train", CLASSES if args.classes is None else args.classes
    if (path / NAME).exists():
        if not args.resume:
            raise ConfigError(f"{path} holds rows of a run that did not begin; remove it, or choose another --run")
        classes = Manifest.read(path).classes
    spool = StreamIngest(open_source(args.data), path, classes, config.batch, note=note)
    try:
        spool.start()
        yield spool
    finally:
        spool.stop()


def end_followed(data: Path, config: TrainConfig) -> None:
    """Mark the end of the training data, if rows of theirs might still come; raises ConfigError if none can."""
    from ddmlp.data.ingest import mark_end

    if not config.follow:
        raise ConfigError(f"--end goes with a run of --follow or of a stream: {data} is whole")
    mark_end(data / "train")


def wait_for_rows(data: Path, spool: "StreamIngest | None", progress: "RunProgress", seconds: float) -> None:
    """Wait until the first rows to follow are there; raises DatasetError if none come in time."""
    manifest, start = data / "train" / NAME, time.monotonic()
    while not manifest.exists():
        if spool:
            spool.raise_error()
        if time.monotonic() - start > seconds:
            raise DatasetError(f"no rows have come to {data / 'train'} within {seconds:g} s (--idle-timeout)")
        progress.wait(f"waiting for rows in {data / 'train'}")
        time.sleep(POLL_SECONDS)


def prepare(
    args: argparse.Namespace, config: TrainConfig, data: Path, run: "Run", init: "Weights | None"
) -> tuple["Job", "Origin"]:
    """The job that the flags describe, and what its result is a function of."""
    from ddmlp.api import prepare_job

    return prepare_job(
        config,
        data,
        run,
        resume=args.resume,
        workers=args.workers,
        checkpoint_every=args.checkpoint_every,
        keep=args.keep,
        stop_after=args.stop_after,
        idle_timeout=args.idle_timeout,
        init=init,
    )


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    from ddmlp import api
    from ddmlp.cli.progress import RunProgress
    from ddmlp.inference.model import load_weights
    from ddmlp.runs.run import Run

    run = Run((args.run or Path("runs", time.strftime("%Y%m%d-%H%M%S"))).absolute())
    begun = run.require_arithmetic() if args.resume else None
    init = load_weights(args.init) if args.init else None
    config = configure(args, begun, init)
    data = find_data(
        run.spool if streamed(args) else Path(args.data) if args.data else begun.data if begun else None,
        follow=config.follow,
    ).resolve()
    if not config.follow:
        prepare(args, config, data, run, init)
    moved = data if begun and begun.data != data and not streamed(args) else None
    continuation = Continuation(args, run.path, moved, follow=config.follow)
    writing = recording(run, tensorboard=args.tensorboard)
    with run, RunProgress(quiet=args.quiet) as progress, writing as record, stop_requests() as stop:
        if not args.resume:
            run.refuse_old()
        elif (before := run.result()) and before.finished and (config.follow or before.epochs >= config.epochs):
            progress.note("the run has ended already")
            show_result(before, run, continuation)
            return 0
        if RAY_JOB in run.path.parts:
            progress.note(f"note: Ray deletes {run.path} some time after this job; name a --run elsewhere")
        if init:
            run.write_initial_weights(init)
        if args.end:
            end_followed(data, config)
        with spooling(args, config, run, progress.note) as spool:
            if config.follow:
                wait_for_rows(data, spool, progress, args.idle_timeout)
            job, origin = prepare(args, config, data, run, init)
            ray = {"address": args.address, "dashboard": args.dashboard}
            opened = api.open_trainer(job, **ray, note=progress.note, stopping=stop.signals)
            with continuation.told(run), opened as trainer:
                if begun:
                    progress.note(f"resuming after step {trainer.step}")
                    if config != begun.config:
                        run.extend(origin)
                else:
                    run.create(origin)
                stop.note()
                report = api.train(
                    trainer, record, progress.show, stopping=stop.signals, follow=config.follow, ingest=spool
                )
                if report.result is not None:
                    run.write_result(report.result)  # before Ray is left, which takes a while
        if report.result is None:
            progress.note(f"interrupted after step {report.step}; {continuation.text()}")
            return INTERRUPTED
        show_result(report.result, run, continuation, report=not args.no_report)
    return 0


def show_result(result: "RunResult", run: "Run", continuation: Continuation, *, report: bool = False) -> None:
    """Say what the run came to. report: write one, too; it takes half a second, so the figures come before it."""
    if result.test_error is not None and result.test_rows is not None:
        mistakes = round(result.test_error * result.test_rows)
        print(f"test error      {result.test_error:.2%} ({mistakes} of {result.test_rows:,} rows)")
    if found := result.prequential:
        print(f"tested first    {found.error:.2%} of the newest {found.window:,} rows mistaken before they were "
              f"trained on, {found.overall:.2%} of all {result.rows:,}")  # fmt: skip
    stale = result.staleness
    if stale.bound:
        print(f"staleness       {stale.mean:.2f} versions on average, {stale.max} at most, {stale.bound} allowed")
    print(f"weights sha256  {result.weights_sha256}")
    print(f"speed           {result.speed:,.0f} rows/s, {result.seconds:.1f} s", flush=True)
    written = f" ({name})" if report and (name := report_on(run.path)) else ""
    print(f"run             {run.path}{written}")
    if not result.finished:
        print(f"unfinished: stopped after step {result.steps}; {continuation.text(stopped=True)}")


if __name__ == "__main__":
    command(main)
