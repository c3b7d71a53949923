"""Convert files of images and labels into Arrow datasets.

ddmlp convert SOURCE OUT                       OUT/train and OUT/test; or one dataset, OUT, if SOURCE has no test data
ddmlp convert --images FILE --labels FILE OUT  one dataset, OUT, from a pair of IDX files
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ddmlp.cli.terminal import Parser, bar, check_range, command
from ddmlp.data.changes import Changes
from ddmlp.data.class_names import parse_class_names
from ddmlp.data.convert import convert
from ddmlp.data.manifest import check_names
from ddmlp.data.sources.idx_folder import ALL, find_idx, pair_parts
from ddmlp.data.sources.idx_pair import Pair
from ddmlp.data.sources.parts import Parts
from ddmlp.data.sources.registry import finite_parts, is_stream
from ddmlp.data.writer import SHARD_ROWS
from ddmlp.errors import ConfigError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="ddmlp convert", description="Convert files of images and labels into Arrow datasets.")
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="[SOURCE] OUT",
        help="SOURCE: a folder with MNIST's, EMNIST's or QMNIST's four IDX files, a Parquet, Arrow, .npz or CSV file, "
        "a folder of Parquet or Arrow files, or a folder of pictures, CLASS/NAME.png; here, or at a URI s3://, gs://, "
        "abfs://, http://, https:// or file://. OUT: the folder to write train/ and test/ into, or the dataset if "
        "SOURCE has no test data",
    )
    parser.add_argument("--images", type=Path, metavar="FILE", help="an IDX file of images, to convert just one pair")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="the IDX file of their labels")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes (default: one more than "
                        "the highest label, or training label)")  # fmt: skip
    parser.add_argument("--class-names", metavar="NAMES", help="names of the classes, with commas between them; or a "
                        "file with one name per line, or one of EMNIST's mapping files")  # fmt: skip
    parser.add_argument("--set", choices=ALL, metavar="NAME", help="which IDX files of SOURCE, if it "
                        f"holds several sets: one of {', '.join(ALL)}")  # fmt: skip
    parser.add_argument("--first-label", type=int, metavar="N", help="the label that becomes class 0 (default: 0; 1 "
                        "for EMNIST's letters)")  # fmt: skip
    parser.add_argument("--transpose", action=argparse.BooleanOptionalAction, help="exchange the rows and columns of "
                        "each image (default: of EMNIST's files, known by their names)")  # fmt: skip
    parser.add_argument("--pixel-max", type=int, default=255, metavar="N", help="the value of a pixel that becomes "
                        "255, for data that use fewer values (default: %(default)s)")  # fmt: skip
    parser.add_argument("--invert", action="store_true", help="exchange black and white")
    parser.add_argument(
        "--shard-rows", type=int, default=SHARD_ROWS, metavar="N", help="rows per shard (default: %(default)s)"
    )
    there = parser.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="replace existing datasets")
    there.add_argument("--append", action="store_true", help="add the rows to existing datasets")
    parser.add_argument("--end", action="store_true", help="mark the end of the datasets: no rows can be added later")
    return parser.parse_args(arguments)


@contextmanager
def found(args: argparse.Namespace) -> Iterator[tuple[Path, Parts]]:
    """What to write, and the rows for it; what is not on this machine is copied for the block."""
    one = args.images is not None and args.labels is not None
    if not one and (args.images is not None or args.labels is not None):
        raise ConfigError("--images and --labels go together")
    if len(args.paths) != (1 if one else 2):
        wanted = "OUT alone goes with --images and --labels" if one else "expected SOURCE and OUT"
        raise ConfigError(f"found {len(args.paths)} paths; {wanted}")
    out = Path(args.paths[-1])
    if one:
        yield out, pair_parts(Pair(args.images, args.labels))
    elif args.set:
        yield out, find_idx(Path(args.paths[0]), args.set)
    elif is_stream(args.paths[0]):
        raise ConfigError(f"{args.paths[0]} is a stream: train on it by ddmlp train --data")
    else:
        with finite_parts(args.paths[0]) as parts:
            yield out, parts


def interpret(args: argparse.Namespace, parts: Parts) -> tuple[int | None, tuple[str, ...] | None, Changes]:
    """The number of classes, their names, and the changes to the rows: by the flags, else by what is known of them."""
    names, begin = parse_class_names(args.class_names) if args.class_names is not None else (None, None)
    usual = parts.changes
    transpose = usual.transpose if args.transpose is None else args.transpose
    first = next(each for each in (args.first_label, begin, usual.first_label) if each is not None)
    known = parts.class_names
    if known and names is None and first == usual.first_label and args.classes in (None, len(known)):
        names = known
    if known:
        told = f"of class {names[0]} to {names[-1]}" if names else "without names"
        print(
            f"{parts.about}: {'rows and columns exchanged' if transpose else 'images as they are'}, labels from "
            f"{first} on, {told}; --no-transpose, --first-label and --class-names say otherwise"
        )
    elif parts.about:
        print(parts.about)
    if names is not None:
        try:
            check_names(names, args.classes or len(names))
        except ValueError as error:
            raise ConfigError(f"--class-names: {error}") from None
    return args.classes, names, Changes(transpose, first, args.pixel_max, args.invert)


def main() -> None:
    args = parse()
    check_range("--shard-rows", args.shard_rows, 1)
    check_range("--classes", args.classes, 1, 256)
    check_range("--first-label", args.first_label, 0, 255)
    check_range("--pixel-max", args.pixel_max, 1, 255)
    odd: list[str] = []
    with found(args) as (out, parts), bar("converting", "rows") as progress:
        classes, names, changes = interpret(args, parts)
        todo = {out / "train": parts.train, out / "test": parts.test} if parts.test else {out: parts.train}
        start = time.perf_counter()
        rows = convert(
            todo,
            classes=classes,
            class_names=names,
            changes=changes,
            shard_rows=args.shard_rows,
            overwrite=args.overwrite,
            extend=args.append,
            end=args.end,
            progress=progress,
            warn=odd.append,
        )
    seconds = time.perf_counter() - start
    for path in todo:
        print(f"{'added to' if args.append else 'wrote'} {path}")
    print(f"{rows:,} rows in {seconds:.2f} s: {rows / seconds:,.0f} rows/s")
    for each in odd:
        print(f"warning: {each}", file=sys.stderr)


if __name__ == "__main__":
    command(main)
