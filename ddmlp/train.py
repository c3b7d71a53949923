"""Train: python -m ddmlp.train --data DIR --workers N"""

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ddmlp.config import SCHEDULES, TrainConfig, flag
from ddmlp.errors import ConfigError
from ddmlp.manifest import NAME, Manifest
from ddmlp.terminal import Parser, command

if TYPE_CHECKING:  # these import NumPy and Ray, which --help and a bad flag need not wait for
    from ddmlp.job import Job, Report
    from ddmlp.progress import RunProgress
    from ddmlp.remote import RemoteTrainer
    from ddmlp.run import Origin, Run
    from ddmlp.trainer import Trainer

    AnyTrainer: TypeAlias = Trainer | RemoteTrainer

ADVANCE_SECONDS = 0.2  # between looks at the progress and at Ctrl-C
INTERRUPTED = 130
GET_DATA = """no data: there is no folder data/
get some with: python tools/fetch_mnist.py mnist && python tools/idx2arrow.py mnist data   (or name yours by --data)"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m ddmlp.train",
        description="Train the 784-n-10 network. The result depends on the data and on the settings under 'result', "
        "and on nothing else: not on the number of workers, and not on interruptions.",
    )
    parser.add_argument("--data", type=Path, help="folder with the datasets train/ and test/ (default: data)")
    parser.add_argument("--run", type=Path, help="folder of the run (default: a new one under runs/)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run where it stopped")
    parser.add_argument("--quiet", action="store_true", help="print only the result")

    result = parser.add_argument_group("result")
    for name, kind, text in [
        ("hidden", int, "units of the hidden layer"),
        ("batch", int, "rows of a step"),
        ("microbatch", int, "rows of the smallest piece of work"),
        ("lr", float, "learning rate: each row moves the weights by lr / batch times its gradient"),
        ("lr_schedule", str, f"one of {', '.join(SCHEDULES)}: kept, or falling to zero on a line"),
        ("epochs", int, "passes over the training data"),
        ("seed", int, "of the initial weights and the order of the rows"),
    ]:
        default = getattr(TrainConfig, name)
        result.add_argument(flag(name), type=kind, help=f"{text} (default: {default})")

    how = parser.add_argument_group("how it is computed")
    how.add_argument("--workers", type=int, default=0, help="Ray workers; 0: in this process (default: %(default)s)")
    how.add_argument("--address", help="HOST:PORT of the Ray to use (default: RAY_ADDRESS, or the one running on this "
                     "machine, or one of our own)")  # fmt: skip
    how.add_argument("--dashboard", action="store_true", help="a Ray of our own shows its dashboard")
    how.add_argument("--checkpoint-every", type=int, default=1000, metavar="STEPS", help="besides one at the end of "
                     "each epoch (default: %(default)s)")  # fmt: skip
    how.add_argument("--keep", type=int, default=3, metavar="N", help="checkpoints to keep (default: %(default)s)")
    how.add_argument("--stop-after", type=int, metavar="STEPS", help="stop there, with a checkpoint and a model")
    return parser.parse_args(arguments)


def check(args: argparse.Namespace) -> None:
    """Raise ConfigError for values that cannot work, as far as they can be judged by themselves."""
    for name, least in [("workers", 0), ("checkpoint_every", 1), ("keep", 1), ("stop_after", 0)]:
        value = getattr(args, name)
        if value is not None and value < least:
            raise ConfigError(f"{flag(name)} is {value}, expected {least} or more")
    if args.workers == 0 and (args.address or args.dashboard):
        raise ConfigError("--address and --dashboard go with --workers 1 or more")
    if args.resume and args.run is None:
        raise ConfigError("--resume needs --run, the folder of the run to go on with")


def find_data(asked: Path | None) -> Path:
    """The folder with train/ and test/; raises ConfigError where there is none."""
    data = asked or Path("data")
    if asked is None and not data.exists():
        raise ConfigError(GET_DATA)
    for part in ("train", "test"):
        if not (data / part / NAME).exists():
            raise ConfigError(f"{data} has no dataset {part}/; expected the folder that tools/idx2arrow.py wrote")
    return data.resolve()


def prepare(args: argparse.Namespace, run: "Run") -> tuple["Job", "Origin"]:
    """The job, and what it is a function of: checked against the data and, where it is resumed, against the run."""
    from ddmlp.job import Job
    from ddmlp.run import Origin

    given = {name: value for name in TrainConfig.names() if (value := getattr(args, name, None)) is not None}
    begun = run.origin() if args.resume else None
    config = replace(begun.config, **given) if begun else TrainConfig(**given)
    data = find_data(args.data or (begun.data if begun else None))
    train, test = Manifest.read(data / "train"), Manifest.read(data / "test")
    config.check_rows(train.rows)
    if test.image_shape != train.image_shape or test.classes > train.classes:
        raise ConfigError(
            f"{data}/test has images of {test.image_shape} in {test.classes} classes, but {data}/train has "
            f"{train.image_shape} in {train.classes}"
        )
    origin = Origin(config, data, train.sha256())
    if begun:
        run.check(origin)
    path = run.path.resolve()
    return Job(config, data, path, args.workers, args.checkpoint_every, args.keep, args.stop_after), origin


@contextmanager
def start(job: "Job", args: argparse.Namespace, progress: "RunProgress") -> "Iterator[AnyTrainer]":
    """The trainer of the job, in this process or on Ray; nothing of it is left behind."""
    if job.workers == 0:
        from ddmlp.local import local_trainer

        local = local_trainer(job)
        try:
            yield local
        finally:
            local.close()
        return
    from ddmlp.cluster import connect
    from ddmlp.remote import RemoteTrainer

    cluster = connect(args.address, dashboard=args.dashboard)
    try:
        progress.note(f"{'started a local Ray' if cluster.own else f'using the Ray at {cluster.address}'}: "
                      f"{cluster.room()}")  # fmt: skip
        if args.dashboard and cluster.own:
            progress.note(f"dashboard: {cluster.dashboard} (it asks for this token: {os.environ['RAY_AUTH_TOKEN']})")
        if (share := cluster.share(job.workers)) < 1:
            progress.note(f"{job.workers} workers share {cluster.cpus:g} CPUs: {share:g} each")
        remote = RemoteTrainer(job, cluster)
        try:
            yield remote
        finally:
            remote.close()
    finally:
        cluster.leave()


def train(trainer: "AnyTrainer", run: "Run", progress: "RunProgress") -> "Report":
    """Train to the end, or until Ctrl-C, which leaves a checkpoint; returns how far it went."""
    with stop_requests() as stopping:
        while True:
            report = trainer.advance(ADVANCE_SECONDS)
            run.record(report.events)
            if stopping and not report.done:
                trainer.checkpoint()  # before anything is shown: the terminal may be gone
                return report
            progress.show(report)
            if report.done:
                return report


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """The SIGINT, SIGTERM and SIGHUP (the terminal was closed) that have come so far. A second is not waited for."""
    signals: list[int] = []

    def note(number: int, _frame: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            raise KeyboardInterrupt

    asked = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored under nohup: no terminal, no end
        asked.append(signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in asked}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    check(args)
    from ddmlp.progress import RunProgress
    from ddmlp.run import Run

    run = Run(args.run or Path("runs", time.strftime("%Y%m%d-%H%M%S")))
    job, origin = prepare(args, run)
    resume = f"python -m ddmlp.train --run {run.path} --resume --workers {job.workers}"
    with run, RunProgress(job.config.epochs, quiet=args.quiet) as progress:
        if not args.resume:
            run.refuse_old()
        elif (before := run.result()) and before["finished"]:
            progress.note("the run has ended already")
            show_result(before, run, resume)
            return 0
        with start(job, args, progress) as trainer:
            if args.resume:
                progress.note(f"resuming after step {trainer.step}")
            else:
                run.create(origin)
            report = train(trainer, run, progress)
            if report.result is None:
                progress.note(f"interrupted after step {report.step}; go on with: {resume}")
                return INTERRUPTED
            result = {**report.result, **about(job)}
            run.write_result(result)
        show_result(result, run, resume)
    return 0


def about(job: "Job") -> dict[str, Any]:
    """What the result says of the job."""
    return {"workers": job.workers, "staleness": 0, "seed": job.config.seed}


def show_result(result: dict[str, Any], run: "Run", resume: str) -> None:
    mistakes = round(result["test_error"] * result["test_rows"])
    print(f"test error      {result['test_error']:.2%} ({mistakes} of {result['test_rows']:,} rows)")
    print(f"weights sha256  {result['weights_sha256']}")
    print(f"speed           {result['rows_per_second']:,.0f} rows/s, {result['train_seconds']:.1f} s")
    print(f"run             {run.path}")
    if not result["finished"]:
        print(f"unfinished: stopped after step {result['steps']}; go on with: {resume}")


if __name__ == "__main__":
    command(main)
