"""How much longer a step takes with a trace: python -m tools.benchmarks.trace_cost DATA

Trains with and without a trace in turns, so that what else the machine does slows both.
"""

import statistics
import tempfile
from pathlib import Path

import ddmlp
from ddmlp.cli.terminal import Parser, command


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m tools.benchmarks.trace_cost", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the datasets train/ and test/")
    parser.add_argument("--workers", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="rows per step (default: %(default)s)")
    parser.add_argument("--microbatch", type=int, default=32, help="rows of a microbatch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, help="of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs with a trace, and without (default: %(default)s)")
    args = parser.parse_args(arguments)
    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(args.rounds):
        for trace in (number % 2 == 0, number % 2 == 1):
            with tempfile.TemporaryDirectory() as folder:
                result = ddmlp.fit(
                    args.data,
                    run=Path(folder) / "run",
                    workers=args.workers,
                    trace=trace,
                    progress=False,
                    batch=args.batch,
                    microbatch=args.microbatch,
                    epochs=args.epochs,
                )
            found[trace].append(result.seconds / result.steps)
    ratios = [1e2 * (one / other - 1) for one, other in zip(found[True], found[False], strict=True)]
    print(f"a step without a trace: {1e6 * statistics.median(found[False]):.0f} us (median of {args.rounds})")
    print(f"with a trace: {1e6 * statistics.median(found[True]):.0f} us")
    print(f"longer by {statistics.median(ratios):.1f} % (median; {', '.join(f'{each:.1f}' for each in ratios)})")
    return 0


if __name__ == "__main__":
    command(main)
