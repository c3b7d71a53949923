"""Verify: ddmlp verify RUN"""

import argparse
import re
from pathlib import Path

from ddmlp.cli.terminal import Parser, bar, command, find_modules_here


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="ddmlp verify",
        description="Compute a run again in this process. Compare the weights of each checkpoint with its hash in the "
        "chain, and the recorded figures with the computed ones. Print 'verified' and what that does not cover, or "
        "name the first range of steps, or the first figure, that differs. An asynchronous run is computed in the "
        "order of its updates.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--steps", type=steps, metavar="A..B", help="verify only the steps between these two "
                        "checkpoints, from the newest checkpoint file that is not after A")  # fmt: skip
    parser.add_argument(
        "--data", type=Path, help="folder with the dataset train/ (default: the folder that the run was begun with)"
    )
    parser.add_argument("--transform", metavar="PLACE", help="the transform that the run was begun with, as for `ddmlp "
                        "train` (default: where it was)")  # fmt: skip
    return parser.parse_args(arguments)


def steps(text: str) -> tuple[int, int]:
    """Parse A..B."""
    found = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if found is None or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not A..B with A <= B")
    return int(found[1]), int(found[2])


def main() -> None:
    args = parse()
    find_modules_here()
    from ddmlp.api.audit import verify
    from ddmlp.training.figures import NOT_COVERED

    with bar("computing again", "steps") as show:
        found = verify(args.run, steps=args.steps, data=args.data, transform=args.transform, show=show)
    print(f"verified        steps {found.first}..{found.last}, {found.checkpoints} checkpoints")
    print(f"weights sha256  {found.weights_sha256}")
    print(f"chain           {found.chain}")
    print(f"metrics         {found.lines} lines{f'; {found.damaged} damaged' if found.damaged else ''}")
    print(f"result          {'as recorded' if found.result else 'not compared: it is of a later step, or missing'}")
    print(f"not covered     {NOT_COVERED}{'' if found.tested else '; tests: there are no test data'}")


if __name__ == "__main__":
    command(main)
