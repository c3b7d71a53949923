"""Replay: ddmlp replay RUN"""

import argparse
from pathlib import Path

from ddmlp.cli.terminal import Parser, bar, command, find_modules_here


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="ddmlp replay",
        description="Compute a run again in this process, in the order of its update log. Each update applies the same "
        "gradient as in the run, computed with the same version of the weights. The final weights must be the same.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--data", type=Path, help="folder with the dataset train/ (default: the folder that the run was begun with)"
    )
    parser.add_argument("--transform", metavar="PLACE", help="the transform that the run was begun with, as for `ddmlp "
                        "train` (default: where it was)")  # fmt: skip
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    find_modules_here()
    from ddmlp.api.audit import replay
    from ddmlp.runs.measures import Staleness

    with bar("replaying", "updates") as show:
        found = replay(args.run, data=args.data, transform=args.transform, show=show)
    stale = Staleness.from_counts(found.staleness)
    ages = f"{stale.mean:.2f} versions old on average, {stale.max} at most"
    print(f"replayed        {found.updates:,} updates, {ages}")
    print(f"weights sha256  {found.weights_sha256}, as recorded")


if __name__ == "__main__":
    command(main)
