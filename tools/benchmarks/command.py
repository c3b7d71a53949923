"""The command: runs the benchmarks, and writes the record and the page."""

import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ddmlp.cli.terminal import Parser
from ddmlp.data import manifest
from ddmlp.errors import ConfigError
from tools.benchmarks import (
    accuracy,
    conversion,
    growth,
    memory,
    message_path,
    one_process,
    page,
    recognition,
    recomputation,
    serving,
    several_processes,
    sources,
    sources_table,
    start,
    step_cost,
    stores,
    time_to_goal,
    two_cores,
)
from tools.benchmarks.benchmark import Benchmark, Settings
from tools.benchmarks.record import NAME, Entry, Record, environment, instructions

SUITE = (
    *one_process.BENCHMARKS,
    step_cost.BENCHMARK,
    two_cores.BENCHMARK,
    several_processes.BENCHMARK,
    message_path.BENCHMARK,
    recomputation.BENCHMARK,
    time_to_goal.BENCHMARK,
    *accuracy.BENCHMARKS,
    conversion.BENCHMARK,
    sources.BENCHMARK,
    stores.BENCHMARK,
    recognition.BENCHMARK,
    serving.BENCHMARK,
    start.BENCHMARK,
    memory.BENCHMARK,
    growth.BENCHMARK,
)


def main(arguments: Sequence[str] | None = None, suite: Sequence[Benchmark] = SUITE) -> None:
    """Run the command; raises ConfigError for invalid flags, and the errors of the benchmarks."""
    args = _parse(arguments, [benchmark.name for benchmark in suite])
    args.out.mkdir(parents=True, exist_ok=True)
    record, here, mnist = Record.read(args.out), environment(), args.mnist and args.mnist.resolve()
    for benchmark in suite:
        if benchmark.name not in args.only:
            continue
        print(benchmark.name, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            settings = Settings(args.data.resolve(), args.repeats, args.seconds, Path(scratch), mnist)
            record.benchmarks[benchmark.name] = Entry(here, args.repeats, benchmark.measure(settings))
        record.write(args.out)  # after each benchmark, so that a later failure loses nothing
    page.write(args.out, suite, record)
    sources_table.write(args.out, record)
    print(args.out / page.NAME)


def _parse(arguments: Sequence[str] | None, names: Sequence[str]) -> Namespace:
    """Parse the command line; raises ConfigError for invalid flags."""
    out = Path("docs", "benchmarks", instructions())
    parser = Parser(description=f"Compare the speed of ddmlp with other libraries; write {NAME} and {page.NAME}.")
    add = parser.add_argument
    only = f"measure only these benchmarks (or none), and keep the others in {NAME}: {', '.join(names)}"
    add("data", type=Path, metavar="DATA", help="folder with train/ and test/")
    add("--only", nargs="*", choices=names, default=names, metavar="NAME", help=only)
    add("--repeats", type=int, default=3, metavar="N", help="repeats of each figure (default: %(default)s)")
    seconds = "approximate seconds per measurement (default: %(default)s)"
    add("--seconds", type=float, default=1.0, metavar="S", help=seconds)
    add("--mnist", type=Path, metavar="FOLDER", help="folder with MNIST's IDX files, for the benchmark conversion")
    add("--out", type=Path, default=out, metavar="FOLDER", help="folder for the page (default: %(default)s)")
    args = parser.parse_args(arguments)
    if args.repeats < 1 or not args.seconds > 0:
        found = f"--repeats is {args.repeats} and --seconds {args.seconds:g}"
        raise ConfigError(f"{found}, expected at least 1 and more than 0")
    for part in ("train", "test"):
        if not (args.data / part / manifest.NAME).exists():
            raise ConfigError(f"{args.data} has no dataset {part}/; expected a folder written by tools/idx2arrow.py")
    return args
