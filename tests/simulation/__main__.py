"""Simulate many seeds: python -m tests.simulation [--seeds N] [--seconds N] [--first N] [SEED ...]

Prints a Markdown table, and exits with status 1 if a seed finds a fault. If seeds are named, only these are simulated,
and everything about them is printed.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.simulation.found import Found, simulate_all
from tests.simulation.scenario import scenario_of
from tests.simulation.simulation import dataset, simulate

SHARE = 50  # seeds that a process simulates at a time
SHOWN = 10  # faults


def table(seeds: range, processes: int, seconds: float) -> bool:
    """Simulate seeds for at most `seconds`, and print the counts; return whether no seed has found a fault."""
    found, begun = Found(), time.perf_counter()
    shares = [range(first, min(first + SHARE, seeds.stop)) for first in range(seeds.start, seeds.stop, SHARE)]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        asked = [pool.submit(simulate_all, share) for share in shares]
        try:
            for each in as_completed(asked, seconds):
                found.add(each.result())
        except TimeoutError:
            pool.shutdown(cancel_futures=True)
    took = time.perf_counter() - begun
    print(
        f"{found.seeds:,} of {len(seeds):,} seeds in {took:.0f} s: {found.switches:,} switches between processes, "
        f"{found.seconds:,.0f} s on the fake clock\n\n| mode or fault | runs |\n| --- | --- |"
    )
    for name, count in [*sorted(found.modes.items()), *sorted(found.fired.items())]:
        print(f"| {name} | {count:,} |")
    for seed, fault in sorted(found.faults.items())[:SHOWN]:
        print(f"{scenario_of(seed)}\n    {fault}", file=sys.stderr)
    print(f"\n{len(found.faults)} seeds have found a fault", flush=True)
    return not found.faults


def explain(seeds: list[int]) -> bool:
    """Simulate each seed, and print its scenario, and its outcome or the error."""
    good = True
    with dataset() as data:
        for seed in seeds:
            print(scenario_of(seed))
            try:
                print(simulate(seed, data))
            except Exception:
                traceback.print_exc()
                good = False
    return good


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, metavar="N", help="number of seeds (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=3600.0,
        metavar="N",
        help="end after this time (default: %(default)s)",
    )
    parser.add_argument("seed", nargs="*", type=int, help="seeds to explain")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.seeds)
    sys.exit(0 if (explain(args.seed) if args.seed else table(seeds, args.processes, args.seconds)) else 1)


if __name__ == "__main__":
    main()
