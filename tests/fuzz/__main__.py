"""Read every kind of file and message with 100,000 random changes: python -m tests.fuzz [--inputs N] [KIND ...]

Each kind has its own process, so that a crash is detected. Prints a Markdown table, and exits with status 1 if there is
a fault. An input depends only on its kind and its number: --first N --inputs 1 KIND repeats one.
"""

import argparse
import math
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tests.fuzz.kinds import kinds
from tests.fuzz.run import FAULT, OTHER, REFUSED, SAME, Outcome, one_kind


def table(names: Sequence[str], numbers: range, seconds: float) -> bool:
    """Fuzz each kind, in all for at most `seconds`, and print a table; return whether there were no faults."""
    good = True
    columns = SAME, OTHER, REFUSED, FAULT
    print(f"| kind | {' | '.join(columns)} | inputs/s |\n| --- |{' --- |' * (len(columns) + 1)}", flush=True)
    for name in names:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                outcome, took = pool.submit(one_kind, name, numbers, seconds / len(names)).result()
            except BrokenProcessPool:
                outcome, took = Outcome(), 0.0
                outcome.fault(numbers[0], "the process died")
        cells = [f"{outcome.counts[column]:,}" for column in columns]
        print(f"| {name} | {' | '.join(cells)} | {outcome.counts.total() / took if took else 0:,.0f} |", flush=True)
        for fault in outcome.faults:
            print(f"{name}: {fault}", file=sys.stderr, flush=True)
        good = good and not outcome.counts[FAULT]
    return good


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--inputs", type=int, default=100_000, metavar="N", help="number of inputs of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--first", type=int, default=0, metavar="N", help="number of the first input (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=math.inf, metavar="N", help="stop after this time (default: never)"
    )
    parser.add_argument("kind", nargs="*", help="kinds to fuzz (default: all)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = [kind.name for kind in kinds(Path(folder))]
    if unknown := set(args.kind) - set(names):
        parser.error(f"unknown kinds {', '.join(sorted(unknown))}; expected some of {', '.join(names)}")
    numbers = range(args.first, args.first + args.inputs)
    sys.exit(0 if table(args.kind or names, numbers, args.seconds) else 1)


if __name__ == "__main__":
    main()
