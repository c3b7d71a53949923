"""The record of accuracy: trains the network for several seeds, and writes a page about them.

python -m tools.record data
python -m tools.record data --validate elastic affine none --seeds 2 --epochs 40
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddmlp.cli.terminal import Parser, check_range, command
from ddmlp.config import MAX_WORKERS
from ddmlp.data import manifest
from ddmlp.errors import ConfigError
from ddmlp.files import write_whole
from tools.record import validation
from tools.record.minutes import Minutes
from tools.record.page import page, table
from tools.record.seeds import Seed, train_all

NONE = "none"  # no distortion, on the command line


def parse(arguments: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="python -m tools.record", description="Train a network for several seeds, and write a page "
                    "about their test errors. What was interrupted continues; what is finished is kept.")  # fmt: skip
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="folder with train/ and test/")
    add("--runs", type=Path, default=Path("runs/record"), metavar="FOLDER", help="folder of the runs (default: "
        "%(default)s)")  # fmt: skip
    add("--out", type=Path, default=Path("docs/record.md"), metavar="FILE", help="the page (default: %(default)s)")
    add("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 (default: %(default)s)")
    add("--at-once", type=int, default=1, metavar="N", help="runs side by side, each on one core (default: "
        "%(default)s)")  # fmt: skip
    for name, kind, default in SETTINGS:
        add(f"--{name.replace('_', '-')}", type=kind, default=default, help="(default: %(default)s)")
    add(
        "--augment",
        default="elastic:alpha=30",
        help="how images are distorted; none: they are not (default: %(default)s)",
    )
    add("--validate", nargs="+", metavar="AUGMENT", help="compare these distortions on rows of the training data that "
        "are held out, and print a table; none: no distortion")  # fmt: skip
    add("--held-out", type=int, default=10_000, metavar="ROWS", help="the last rows of the training data, for "
        "--validate (default: %(default)s)")  # fmt: skip
    args = parser.parse_args(arguments)
    check_range("--seeds", args.seeds, 1)
    check_range("--at-once", args.at_once, 1, MAX_WORKERS)
    for part in ("train", "test"):
        if not (args.data / part / manifest.NAME).exists():
            raise ConfigError(f"{args.data} has no dataset {part}/; expected a folder written by tools/idx2arrow.py")
    args.data = args.data.resolve()
    return args


SETTINGS: list[tuple[str, type, Any]] = [
    ("hidden", int, 800),
    ("epochs", int, 300),
    ("batch", int, 32),
    ("lr", float, 0.5),
    ("lr_end", float, 0.1),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises ConfigError for invalid flags, and the errors of the trainings."""
    args = parse(arguments)
    shared = {name: getattr(args, name) for name, _, _ in SETTINGS} | {"lr_schedule": "exponential"}

    def distorted(augment: str) -> dict[str, Any]:
        return shared if augment == NONE else {**shared, "augment": augment}

    if args.validate:
        data = validation.split(args.data, args.runs, args.held_out)
        train_all(validation.planned(data, args.runs, list(map(distorted, args.validate)), args.seeds), args.at_once)
        print(table(list(validation.lines(args.runs))))
        return
    given = distorted(args.augment)
    seeds = [Seed(args.runs / f"seed-{each}", args.data, {**given, "seed": each}) for each in range(args.seeds)]
    train_all(seeds, args.at_once)
    write_whole(args.out, page(seeds, args.runs, Minutes.read(args.out.parent)).encode())
    print(args.out)


if __name__ == "__main__":
    command(main)
