"""Convert IDX files into Arrow datasets.

ddmlp convert SOURCE OUT                       OUT/train and OUT/test, from the four usual files
ddmlp convert --images FILE --labels FILE OUT  one dataset, OUT, from one pair
"""

import argparse
import time
from pathlib import Path

from ddmlp.cli.terminal import Parser, bar, command
from ddmlp.data.convert import Pair, convert, find_pairs
from ddmlp.data.writer import SHARD_ROWS
from ddmlp.errors import ConfigError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(description="Convert IDX files into Arrow datasets.")
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="[SOURCE] OUT",
        help="SOURCE: a folder with train-images-idx3-ubyte and its three companions, plain or .gz, with - or . "
        "before idx; OUT: the folder to write train/ and test/ into, or with --images and --labels the dataset",
    )
    parser.add_argument("--images", type=Path, metavar="FILE", help="an IDX file of images, to convert just one pair")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="the IDX file of their labels")
    parser.add_argument("--classes", type=int, help="how many classes there are (default: one more than the highest "
                        "label, of the training labels where there are two pairs)")  # fmt: skip
    parser.add_argument("--shard-rows", type=int, default=SHARD_ROWS, help="rows a shard (default: %(default)s)")
    there = parser.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="replace datasets that are there already")
    there.add_argument("--append", action="store_true", help="add the rows to datasets that are there already")
    parser.add_argument(
        "--end", action="store_true", help="mark the end of the datasets: nothing will be added any more"
    )
    return parser.parse_args(arguments)


def pairs(args: argparse.Namespace) -> dict[Path, Pair]:
    """What to convert: the path of each dataset, and the pair of files that it is made from."""
    one = args.images is not None and args.labels is not None
    if not one and (args.images is not None or args.labels is not None):
        raise ConfigError("--images and --labels go together")
    if len(args.paths) != (1 if one else 2):
        wanted = "OUT alone goes with --images and --labels" if one else "expected SOURCE and OUT"
        raise ConfigError(f"found {len(args.paths)} paths; {wanted}")
    out = args.paths[-1]
    if one:
        return {out: Pair(args.images, args.labels)}
    train, test = find_pairs(args.paths[0])
    return {out / "train": train, out / "test": test}


def main() -> None:
    args = parse()
    if args.shard_rows < 1:
        raise ConfigError(f"--shard-rows is {args.shard_rows}, expected 1 or more")
    if args.classes is not None and not 1 <= args.classes <= 256:
        raise ConfigError(f"--classes is {args.classes}, expected 1 to 256")
    todo = pairs(args)
    start = time.perf_counter()
    with bar("converting", "rows") as progress:
        rows = convert(
            todo,
            classes=args.classes,
            shard_rows=args.shard_rows,
            overwrite=args.overwrite,
            extend=args.append,
            end=args.end,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    for path in todo:
        print(f"{'added to' if args.append else 'wrote'} {path}")
    print(f"{rows:,} rows in {seconds:.2f} s: {rows / seconds:,.0f} rows/s")


if __name__ == "__main__":
    command(main)
