"""Train: ddmlp train --data DIR --workers N"""

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.api.options import Options
from ddmlp.cli.continuation import Continuation
from ddmlp.cli.report import report_on
from ddmlp.cli.shell import python_command
from ddmlp.cli.terminal import command, find_modules_here
from ddmlp.cli.train_arguments import logs, parse, streamed
from ddmlp.config import TrainConfig
from ddmlp.errors import ConfigError

if TYPE_CHECKING:  # these import NumPy, which --help and a bad flag need not wait for
    from ddmlp.api.progress import RunProgress
    from ddmlp.api.result import Result
    from ddmlp.data.transform import Transform
    from ddmlp.nn.weights import Weights
    from ddmlp.runs.origin import Origin
    from ddmlp.runs.run import Run

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed


def main(arguments: list[str] | None = None) -> int:
    """Train as the flags say; returns the exit status."""
    args = parse(arguments)
    find_modules_here()
    options = Options(
        workers=args.workers,
        servers=args.servers,
        address=args.address,
        dashboard=args.dashboard,
        checkpoint_every=args.checkpoint_every,
        keep=args.keep,
        checkpoint_uri=args.checkpoint_uri,
        stop_after=args.stop_after,
        idle_timeout=args.idle_timeout,
        quarantine=args.quarantine,
        max_bad_rows=args.max_bad_rows,
        spool_bytes=args.spool_bytes,
        drift_alarm=args.drift_alarm,
        trace=args.trace,
        certificates=args.certificates,
    )
    from ddmlp.api.progress import RunProgress
    from ddmlp.api.run import new_run
    from ddmlp.api.stored import run_again

    progress = RunProgress(quiet=args.quiet)
    if not args.resume:
        with new_run(args.run) as run:
            return train(run, args, options, progress)
    with run_again(args.run, options, progress.note) as (run, options):
        return train(run, args, options, progress)


def train(run: "Run", args: argparse.Namespace, options: Options, progress: "RunProgress") -> int:
    """Begin or continue a run; returns the exit status."""
    from ddmlp.api.rows import rows_again, rows_of
    from ddmlp.api.session import Session
    from ddmlp.api.tensorboard import TensorBoard
    from ddmlp.api.transform import transform_again, transform_of
    from ddmlp.inference.saved_model import load_weights

    begun = run.require_arithmetic() if args.resume else None
    init = load_weights(args.init) if args.init else None
    given = args.transform
    transform = transform_again(given, begun, run.path) if begun else transform_of(given)
    config = configure(args, begun, init, transform)
    if begun:
        rows = rows_again(args.data, begun, run, args.classes)
        moved = rows.folder if begun.data != rows.folder and not streamed(args) else None
    else:
        rows = rows_of(args.data or default_data(), None, run, args.classes, follow=config.follow)
        moved = None
    continuation = Continuation(args, run.path, moved, follow=config.follow)
    session = Session(
        run=run,
        rows=rows,
        config=config,
        options=options,
        begun=begun,
        init=init,
        transform=transform,
        end=args.end,
        callbacks=[TensorBoard()] if args.tensorboard else [],
        progress=progress,
        hint=continuation.text,
    )
    with logs(args, run.path):
        step, result, trained = session.train(SIGNALS)
    if result is None:
        session.progress.note(f"interrupted after step {step}; {continuation.text()}")
        return INTERRUPTED
    show(result, continuation, report=trained and not args.no_report)
    return 0


def configure(
    args: argparse.Namespace,
    begun: "Origin | None",
    init: "Weights | None" = None,
    transform: "Transform | None" = None,
) -> TrainConfig:
    """The settings of the run; see `ddmlp.api.run.settings`."""
    from ddmlp.api.run import settings

    given = {name: getattr(args, name, None) for name in TrainConfig.names()}
    return settings(given, begun, init, transform, follow=streamed(args))


def default_data() -> str:
    """The folder data/; raises ConfigError if there is none."""
    if not Path("data").exists():
        commands = python_command("fetch", "mnist"), python_command("convert", "mnist", "data")
        raise ConfigError(
            f"no data: there is no folder data/; name yours by --data, or get MNIST by:\n{' && '.join(commands)}"
        )
    return "data"


def show(found: "Result", continuation: Continuation, *, report: bool) -> None:
    """Print a result. report: write one, too; it takes half a second, so the figures come before it."""
    result = found.record
    if result.test_error is not None and result.test_rows is not None:
        mistakes = round(result.test_error * result.test_rows)
        print(f"test error      {result.test_error:.2%} ({mistakes} of {result.test_rows:,} rows)")
    if first := result.prequential:
        print(f"tested first    {first.error:.2%} of the newest {first.window:,} rows mistaken before they were "
              f"trained on, {first.overall:.2%} of all {result.rows:,}")  # fmt: skip
    if result.trained_to:
        print(f"trained up to   {result.trained_to:%Y-%m-%d %H:%M:%S} UTC")
    if result.bad_rows:
        print(f"bad rows        {result.bad_rows:,} were put aside")
    stale = result.staleness
    if stale.bound:
        print(f"staleness       {stale.mean:.2f} versions on average, {stale.max} at most, {stale.bound} allowed")
    print(f"weights sha256  {result.weights_sha256}")
    print(f"speed           {result.speed:,.0f} rows/s, {result.seconds:.1f} s", flush=True)
    written = f" ({name})" if report and (name := report_on(found)) else ""
    print(f"run             {found.run}{written}")
    if not result.finished:
        print(f"unfinished: stopped after step {result.steps}; {continuation.text(stopped=True)}")


if __name__ == "__main__":
    command(main)
