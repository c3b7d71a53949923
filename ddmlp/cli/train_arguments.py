"""The flags of `ddmlp train`, and the checks that need nothing but the flags."""

import argparse
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ddmlp.api import CLASSES
from ddmlp.api.options import MAX_BAD_ROWS
from ddmlp.cli.terminal import Parser, check_range
from ddmlp.config import ENDLESS, SCHEDULES, TrainConfig, flag
from ddmlp.data.sources.registry import is_finite, is_stream
from ddmlp.data.store import is_store
from ddmlp.errors import ConfigError, DdmlpError
from ddmlp.nn.augmentation import KINDS
from ddmlp.runs.log_files import LEVELS, LOGS, LogFile, logging_to

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"  # as --data
# Flags that a command that continues the run does not repeat; nor those of settings, which the run has.
OF_THIS_COMMAND = {"end", "data", "run", "resume", "init", "stop_after"}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the flags; those under 'result' are None if they are not given. Exits with status 2 for bad ones."""
    args = _parser().parse_args(arguments)
    if streamed(args):
        args.follow = True
    _check(args)
    return args


def flags_again(args: argparse.Namespace) -> list[str]:
    """The flags to repeat when the run is continued: those that differ from their default and that no run stores."""
    parser, words = _parser(), []
    for name, value in vars(args).items():
        if name in OF_THIS_COMMAND or name in TrainConfig.names() or value == parser.get_default(name):
            continue
        words.append(flag(name))
        if value is not True:
            words.append(workers_text(value) if name == "workers" else str(value))
    return words


def _parser() -> Parser:
    parser = Parser(
        prog="ddmlp train",
        description="Train the 784-n-10 network. The result depends on the data and on the settings under 'result', "
        "and on nothing else: not on the number of workers, and not on interruptions. With --staleness training is "
        "asynchronous: the result then varies, but each run can be replayed.",
    )
    parser.add_argument("--data", help="folder with the datasets train/ and test/ (default: data); or what "
                        "`ddmlp convert` takes, a file, a folder or a URI; or a stream to follow: - for standard "
                        "input, tcp://HOST:PORT, or redis://, kafka://, nats://, rabbitmq-stream:// and "
                        "HOST/STREAM")  # fmt: skip
    parser.add_argument("--classes", type=int, help=f"number of classes of a stream (default: {CLASSES}) or a "
                        "file (default: one more than the highest label)")  # fmt: skip
    parser.add_argument("--run", type=_run, help="folder of the run (default: a new one under runs/); with --resume "
                        "also a store, see --checkpoint-uri: then a new folder gets its newest checkpoint")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="continue the run in --run from its newest checkpoint")
    parser.add_argument("--init", type=Path, metavar="MODEL", help="begin with the weights of this run or .npz file, "
                        "and its --hidden, instead of random ones")  # fmt: skip
    parser.add_argument("--transform", type=_place, metavar="PLACE", help="MODULE:FUNCTION or FILE.py:FUNCTION: "
                        "change the pixels of rows by this function before they are trained on")  # fmt: skip
    parser.add_argument("--tensorboard", action="store_true", help="also write the curves for TensorBoard, into "
                        "tensorboard/ in the run's folder")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print only the result")

    result = parser.add_argument_group("result")
    settings: list[tuple[str, Callable[[str], Any], str]] = [
        ("hidden", int, "units of the hidden layer"),
        ("batch", int, "rows per step"),
        ("microbatch", int, "rows of the smallest unit of work"),
        ("lr", float, "learning rate: each row moves the weights by lr / batch times its gradient"),
        ("lr_schedule", str, f"one of {', '.join(SCHEDULES)}: constant, falling linearly to zero, falling by the "
                             "same factor in every step to lr x lr-end, or lr / (1 + step / lr-half)"),
        ("lr_end", float, "part of the learning rate that --lr-schedule exponential leaves at the end"),
        ("lr_half", int, "steps after which --lr-schedule inverse has halved the learning rate"),
        ("epochs", int, "passes over the training data"),
        ("seed", int, "seed of the initial weights and of the order of the rows"),
        ("gradient_bits", int, "for slow networks: round the gradient of each microbatch to this many bits, 4 to 16; "
                               "0: do not round"),
        ("augment", str, f"distort the images of each epoch anew: {', '.join(KINDS)}, or KIND:NAME=NUMBER,...; see "
                         "`ddmlp augment`"),
        ("delay", int, "apply the gradient of version v to version v + DELAY: hides communication behind "
                       "computation; the result is as reproducible as with 0"),
        ("staleness", _staleness, "train asynchronously: apply no gradient that is older than this many versions; inf: "
                                  "no limit"),
    ]  # fmt: skip
    for name, kind, text in settings:
        default = getattr(TrainConfig, name)
        result.add_argument(flag(name), type=kind, help=f"{text} (default: {default})")
    result.add_argument("--staleness-lr", action="store_true", default=None, help="divide the learning rate by the "
                        "gradient's staleness")  # fmt: skip
    result.add_argument("--follow", action="store_true", default=None, help="train once on each row, in the order "
                        "of publication, until the writer marks the end, SIGTERM arrives, or --idle-timeout has "
                        "passed")  # fmt: skip

    how = parser.add_argument_group("how it is computed")
    how.add_argument("--workers", type=_workers, default=(0, 0), metavar="N", help="Ray workers; 0: in this process; "
                     "MIN:MAX: as many as the cluster has room for at any time (default: 0)")  # fmt: skip
    how.add_argument("--servers", type=int, default=1, metavar="K", help="with --workers, on several machines: "
                     "processes that the weights are divided among (default: %(default)s)")  # fmt: skip
    how.add_argument("--address", help="HOST:PORT of the Ray to use; local: start a new one; auto: only one that is "
                     "running (default: RAY_ADDRESS, else your Ray on this machine, else a new one)")  # fmt: skip
    how.add_argument(
        "--dashboard", action="store_true", help="start the dashboard of a Ray that is started for the run"
    )
    how.add_argument("--certificates", type=_absolute, metavar="FOLDER", help="folder, on every node, with ca.crt, "
                     "tls.crt and tls.key, for TLS between nodes (default: made for the run)")  # fmt: skip
    how.add_argument("--checkpoint-every", type=int, default=10_000, metavar="STEPS", help="steps between "
                     "checkpoints, in addition to the one at the end of each epoch (default: %(default)s)")  # fmt: skip
    how.add_argument(
        "--keep", type=int, default=3, metavar="N", help="number of checkpoints to keep (default: %(default)s)"
    )
    how.add_argument("--checkpoint-uri", metavar="URI", help="also keep the newest checkpoints in this store: "
                     "file:///FOLDER, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or "
                     "abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER")  # fmt: skip
    how.add_argument(
        "--stop-after", type=int, metavar="STEPS", help="stop after this step, with a checkpoint and a model"
    )
    how.add_argument("--idle-timeout", type=float, default=math.inf, metavar="SECONDS", help="with --follow: stop "
                     "after this time without a new row (default: never)")  # fmt: skip
    how.add_argument("--quarantine", type=_absolute, metavar="FOLDER", help="put rows of a stream that cannot be "
                     "decoded into this folder (default: the first one is an error)")  # fmt: skip
    how.add_argument("--max-bad-rows", type=int, default=MAX_BAD_ROWS, metavar="N", help="the most rows to put there "
                     "(default: %(default)s)")  # fmt: skip
    how.add_argument("--spool-bytes", type=int, metavar="N", help="stop reading a stream while N bytes of pixels "
                     "are not trained on yet (default: no limit)")  # fmt: skip
    how.add_argument("--drift-alarm", action="store_true", help="with --follow or a stream: record when the error of "
                     "rows before they are trained on has risen")  # fmt: skip
    how.add_argument("--trace", action="store_true", help="record what each process does, in trace.json in the run's "
                     "folder: a timeline for the report, the page of the run, and https://ui.perfetto.dev")  # fmt: skip
    how.add_argument("--end", action="store_true", help="with --follow: no more rows will arrive; mark the end of the "
                     "data, and train on the rows so far")  # fmt: skip
    how.add_argument("--no-report", action="store_true", help="write no report.html at the end")
    how.add_argument("--log-level", choices=LEVELS, default="info", help=f"level of the logs, in {LOGS}/ in the "
                     "run's folder (default: %(default)s)")  # fmt: skip
    how.add_argument("--log-file", type=_absolute, metavar="FILE", help="write the log of this process to this "
                     f"file, not into {LOGS}/")  # fmt: skip
    return parser


def streamed(args: argparse.Namespace) -> bool:
    """Whether the data are a stream."""
    return is_stream(args.data)


@contextmanager
def logs(args: argparse.Namespace, run: Path) -> Iterator[None]:
    """Write logs as the flags say, in the block. Raises OSError if --log-file cannot be written."""
    file = LogFile(args.log_file) if args.log_file else LogFile.of_run(run, "train")
    with logging_to(file, LEVELS[args.log_level]):
        if args.log_file:
            file.open()
        try:
            yield
        except DdmlpError as error:
            if args.log_file or run.is_dir():  # else no run has begun, and its folder was removed
                log.error("the training ends: %s", str(error))
            raise


def workers_text(workers: tuple[int, int]) -> str:
    """Format the numbers of workers as the flag has them."""
    least, most = workers
    return str(most) if least == most else f"{least}:{most}"


def _run(text: str) -> Path | str:
    return text if is_store(text) else Path(text)


def _place(text: str) -> str:
    """The place of a transform, as it can be named in any folder: a file in this one by its path."""
    module, _, name = text.rpartition(":")
    file = Path(module if module.endswith(".py") else f"{module}.py").absolute()
    return f"{file}:{name}" if file.exists() else text


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def _staleness(text: str) -> int | str:
    return text if text == ENDLESS else _whole(text)


def _workers(text: str) -> tuple[int, int]:
    """Parse N or MIN:MAX; returns the fewest and the most."""
    least, colon, most = text.partition(":")
    return (_whole(least), _whole(most)) if colon else (_whole(text), _whole(text))


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _check(args: argparse.Namespace) -> None:
    """Raise ConfigError for values that cannot work, except those that `Options` checks."""
    check_range("--classes", args.classes, 1, 256)
    if args.classes is not None and not (streamed(args) or is_finite(args.data) or args.resume):
        raise ConfigError("--classes goes with a stream or a file: a dataset stores its number of classes")
    if is_store(args.run):
        if not args.resume:
            raise ConfigError("--run is a store, expected a folder; name the store by --checkpoint-uri")
        args.checkpoint_uri = args.checkpoint_uri or args.run
    if args.resume and args.run is None:
        raise ConfigError("--resume needs --run, the folder of the run to continue")
    if (args.end or args.idle_timeout != math.inf) and not (args.follow or args.resume):
        raise ConfigError("--idle-timeout and --end go with --follow")
    if args.end and streamed(args):
        raise ConfigError(f"--end excludes --data {args.data}: it waits for no more rows")
    if args.resume and args.init:
        raise ConfigError("--init begins a new run: give it without --resume")
