"""The command: measures one benchmark after another, and writes the record and the page."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ddmlp.cli.terminal import Parser
from ddmlp.data import manifest
from ddmlp.errors import ConfigError
from tools.benchmarks import page
from tools.benchmarks.benchmark import Benchmark, Settings
from tools.benchmarks.environment import environment, instructions
from tools.benchmarks.record import NAME, Entry, Record
from tools.benchmarks.suite import SUITE


def main(arguments: Sequence[str] | None = None, suite: Sequence[Benchmark] = SUITE) -> None:
    """The command line; raises ConfigError for flags that cannot work, and what the benchmarks raise."""
    names, out = [benchmark.name for benchmark in suite], Path("docs", "benchmarks", instructions())
    parser = Parser(description=f"Measure ddmlp beside its peers; write {NAME} and {page.NAME}.")
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="a folder with train/ and test/")
    add("--only", nargs="*", choices=names, default=names, metavar="NAME", help="measure these benchmarks, or none, "
        f"and keep the others of {NAME}: {', '.join(names)}")  # fmt: skip
    add("--repeats", type=int, default=5, metavar="N", help="of each figure (default: %(default)s)")
    add("--seconds", type=float, default=3.0, metavar="S", help="for which a baseline is timed, about (default: "
        "%(default)s)")  # fmt: skip
    add("--mnist", type=Path, metavar="FOLDER", help="with MNIST's IDX files, for what reads them")
    add("--out", type=Path, default=out, metavar="FOLDER", help="for the page (default: %(default)s)")
    args = parser.parse_args(arguments)
    if args.repeats < 1 or not args.seconds > 0:
        raise ConfigError(
            f"--repeats is {args.repeats} and --seconds {args.seconds:g}, expected 1 or more, and above 0"
        )
    for part in ("train", "test"):
        if not (args.data / part / manifest.NAME).exists():
            raise ConfigError(f"{args.data} has no dataset {part}/; expected the folder that tools/idx2arrow.py wrote")
    args.out.mkdir(parents=True, exist_ok=True)
    record, here = Record.read(args.out), environment()
    for benchmark in suite:
        if benchmark.name not in args.only:
            continue
        print(benchmark.title, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            mnist = args.mnist and args.mnist.resolve()
            settings = Settings(args.data.resolve(), args.repeats, args.seconds, Path(scratch), mnist)
            record.benchmarks[benchmark.name] = Entry(here, args.repeats, benchmark.measure(settings))
        record.write(args.out)  # at once: what took minutes outlives what fails later
    page.write(args.out, suite, record)
    print(args.out / page.NAME)
