"""Convert IDX files into Arrow datasets.

ddmlp convert SOURCE OUT                       OUT/train and OUT/test, from the four usual files
ddmlp convert --images FILE --labels FILE OUT  one dataset, OUT, from one pair
"""

import argparse
import sys
import time
from pathlib import Path

from ddmlp.cli.terminal import Parser, bar, check_range, command
from ddmlp.data.class_names import parse_class_names
from ddmlp.data.convert import Changes, Pair, convert, find_pairs
from ddmlp.data.emnist import FIRST_LABELS, SETS, set_of, sets_in
from ddmlp.data.manifest import check_names
from ddmlp.data.writer import SHARD_ROWS
from ddmlp.errors import ConfigError

USUAL = "mnist"  # the set whose files are named as MNIST's


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(prog="ddmlp convert", description="Convert IDX files into Arrow datasets.")
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="[SOURCE] OUT",
        help="SOURCE: a folder with train-images-idx3-ubyte and its three companions, plain or .gz, with - or . "
        "before idx, or EMNIST's files; OUT: the folder to write train/ and test/ into, or with --images and --labels "
        "the dataset",
    )
    parser.add_argument("--images", type=Path, metavar="FILE", help="an IDX file of images, to convert just one pair")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="the IDX file of their labels")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes (default: one more than "
                        "the highest label, or the highest training label if there are two pairs)")  # fmt: skip
    parser.add_argument("--class-names", metavar="NAMES", help="names of the classes, with commas between them; or a "
                        "file with one name per line, or one of EMNIST's mapping files")  # fmt: skip
    parser.add_argument("--set", choices=[USUAL, *SETS], metavar="NAME", help="which files of SOURCE, if it "
                        f"holds several sets: one of {', '.join([USUAL, *SETS])}")  # fmt: skip
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


def pairs(args: argparse.Namespace) -> dict[Path, Pair]:
    """The pair of files for each dataset, by its path."""
    one = args.images is not None and args.labels is not None
    if not one and (args.images is not None or args.labels is not None):
        raise ConfigError("--images and --labels go together")
    if len(args.paths) != (1 if one else 2):
        wanted = "OUT alone goes with --images and --labels" if one else "expected SOURCE and OUT"
        raise ConfigError(f"found {len(args.paths)} paths; {wanted}")
    out = args.paths[-1]
    if one:
        return {out: Pair(args.images, args.labels)}
    name = args.set or choose_set(args.paths[0])
    train, test = find_pairs(args.paths[0], *([] if name == USUAL else [f"{name}-train", f"{name}-test"]))
    return {out / "train": train, out / "test": test}


def choose_set(folder: Path) -> str:
    """The only set in a folder; raises ConfigError if it has several."""
    found = sets_in(folder) if folder.is_dir() else []
    if any(folder.glob("train-images*")):
        found = [USUAL, *found]
    if len(found) > 1:
        raise ConfigError(f"{folder} has the sets {', '.join(found)}; choose one, for example by --set {found[-1]}")
    return found[0] if found else USUAL


def interpret(args: argparse.Namespace, images: Path) -> tuple[int | None, tuple[str, ...] | None, Changes]:
    """The number of classes, their names, and the changes to the rows: by the flags, else by the name of the file of
    images."""
    names, begin = parse_class_names(args.class_names) if args.class_names is not None else (None, None)
    known = set_of(images)
    transpose = known is not None if args.transpose is None else args.transpose
    usual = FIRST_LABELS.get(known or "", 0)
    first = next(each for each in (args.first_label, begin, usual) if each is not None)
    if known and names is None and first == usual and args.classes in (None, len(SETS[known])):
        names = SETS[known]
    if known:
        told = f"of class {names[0]} to {names[-1]}" if names else "without names"
        print(
            f"{known}, by the name of {images}: {'rows and columns exchanged' if transpose else 'images as they are'}, "
            f"labels from {first} on, {told}; --no-transpose, --first-label and --class-names say otherwise"
        )
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
    todo = pairs(args)
    classes, names, changes = interpret(args, next(iter(todo.values())).images)
    start = time.perf_counter()
    odd: list[str] = []
    with bar("converting", "rows") as progress:
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
