"""Train: python -m ddmlp.train --data DIR --workers N"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.report import report_on
from ddmlp.cli.signals import stop_requests
from ddmlp.cli.terminal import command
from ddmlp.cli.train_arguments import parse, streamed, workers_text
from ddmlp.config import TrainConfig
from ddmlp.data.manifest import NAME, Manifest
from ddmlp.errors import ConfigError, DatasetError
from ddmlp.runs.event_sinks import recording

if TYPE_CHECKING:  # these import NumPy, which --help and a bad flag need not wait for
    from ddmlp.cli.progress import RunProgress
    from ddmlp.data.ingest import StreamIngest
    from ddmlp.runs.origin import Origin
    from ddmlp.runs.result import RunResult
    from ddmlp.runs.run import Run
    from ddmlp.training.job import Job

POLL_SECONDS = 0.2  # between looks for the first rows
INTERRUPTED = 130
GET_DATA = """no data: there is no folder data/
get some with: python tools/fetch_mnist.py mnist && python tools/idx2arrow.py mnist data   (or name yours by --data)"""


def find_data(asked: Path | None, *, follow: bool) -> Path:
    """The folder with train/ and, where rows are not still coming, test/; raises ConfigError where there is none."""
    data = asked or Path("data")
    if asked is None and not data.exists():
        raise ConfigError(GET_DATA)
    for part in () if follow else ("train", "test"):
        if not (data / part / NAME).exists():
            raise ConfigError(f"{data} has no dataset {part}/; expected the folder that tools/idx2arrow.py wrote")
    return data.resolve()


def configure(args: argparse.Namespace, begun: "Origin | None") -> TrainConfig:
    """The settings: those given, and for the rest those that the run was begun with, or else the defaults."""
    given = {name: value for name in TrainConfig.names() if (value := getattr(args, name, None)) is not None}
    if begun:
        return replace(begun.config, **given)
    stream = {"epochs": 1, "lr_schedule": "constant"} if args.follow else {}
    return TrainConfig(**{**stream, **given})


@contextmanager
def spooling(args: argparse.Namespace, config: TrainConfig, run: "Run") -> "Iterator[StreamIngest | None]":
    """The spool that puts a stream on disk, where the data are one."""
    if not streamed(args):
        yield None
        return
    from ddmlp.data.ingest import StreamIngest
    from ddmlp.data.sources import open_source

    path, classes = run.spool / "train", args.classes
    if (path / NAME).exists():
        if not args.resume:
            raise ConfigError(f"{path} holds rows of a run that did not begin; remove it, or choose another --run")
        classes = Manifest.read(path).classes
    spool = StreamIngest(open_source(args.data), path, classes, config.batch)
    try:
        spool.start()
        yield spool
    finally:
        spool.stop()


def wait_for_rows(data: Path, spool: "StreamIngest | None", progress: "RunProgress", seconds: float) -> None:
    """Wait until the first rows to follow are there; raises DatasetError where none come in time."""
    manifest, start = data / "train" / NAME, time.monotonic()
    while not manifest.exists():
        if spool:
            spool.raise_error()
        if time.monotonic() - start > seconds:
            raise DatasetError(f"no rows have come to {data / 'train'} within {seconds:g} s (--idle-timeout)")
        progress.wait(f"waiting for rows in {data / 'train'}")
        time.sleep(POLL_SECONDS)


def prepare(args: argparse.Namespace, config: TrainConfig, data: Path, run: "Run") -> tuple["Job", "Origin"]:
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
    )


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    from ddmlp import api
    from ddmlp.cli.progress import RunProgress
    from ddmlp.runs.run import Run

    run = Run(args.run or Path("runs", time.strftime("%Y%m%d-%H%M%S")))
    resume = f"python -m ddmlp.train --run {run.path} --resume --workers {workers_text(args.workers)}"
    begun = run.require_arithmetic() if args.resume else None
    config = configure(args, begun)
    data = find_data(
        run.spool if streamed(args) else Path(args.data) if args.data else begun.data if begun else None,
        follow=config.follow,
    ).resolve()
    if not config.follow:
        prepare(args, config, data, run)
    writing = recording(run, tensorboard=args.tensorboard)
    with run, RunProgress(quiet=args.quiet) as progress, writing as record:
        if not args.resume:
            run.refuse_old()
        elif (before := run.result()) and before.finished:
            progress.note("the run has ended already")
            show_result(before, run, resume)
            return 0
        with spooling(args, config, run) as spool:
            if config.follow:
                wait_for_rows(data, spool, progress, args.idle_timeout)
                if spool and spool.odd:
                    progress.note(f"warning: {args.data}: {spool.odd}")
            job, origin = prepare(args, config, data, run)
            with api.open_trainer(job, address=args.address, dashboard=args.dashboard, note=progress.note) as trainer:
                if args.resume:
                    progress.note(f"resuming after step {trainer.step}")
                else:
                    run.create(origin)
                with stop_requests() as stopping:
                    report = api.train(
                        trainer, record, progress.show, stopping=stopping, follow=config.follow, ingest=spool
                    )
        if report.result is None:
            progress.note(f"interrupted after step {report.step}; go on with: {resume}")
            return INTERRUPTED
        run.write_result(report.result)
        show_result(report.result, run, resume, report=not args.no_report)
    return 0


def show_result(result: "RunResult", run: "Run", resume: str, *, report: bool = False) -> None:
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
        print(f"unfinished: stopped after step {result.steps}; go on with: {resume}")


if __name__ == "__main__":
    command(main)
