"""Report: python -m ddmlp.report RUN [RUN ...]"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import ConfigError

NAME = "report.html"


def write_report(runs: Sequence[Path], out: Path, data: Path | None = None) -> None:
    """Write a page about the runs to `out`. data: where their data are, if not where each found them. Raises RunError
    where one is no run, ConfigError where they are too many, and OSError."""
    from ddmlp.files import write_whole
    from ddmlp.reporting.charts import MOST_RUNS
    from ddmlp.reporting.page import page
    from ddmlp.reporting.summary import read_story

    if len(runs) > MOST_RUNS:
        raise ConfigError(f"{len(runs)} runs are more than can be told apart in a plot, expected {MOST_RUNS} at most")
    write_whole(out, page([read_story(run, data) for run in runs]))


def report_on(run: Path) -> str | None:
    """Write the report of a run that has just ended into its folder; returns its name. Whatever goes wrong is only
    said: the run has ended well."""
    try:
        write_report([run], run / NAME)
    except (Exception, KeyboardInterrupt) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        print(f"note: there is no report: {why}; try python -m ddmlp.report {run}")
        return None
    return NAME


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m ddmlp.report",
        description="Write a page about a run, or about several side by side: one file that opens without a network, "
        "with the settings, the curves, where the time went, the confusion matrix and the surest mistakes.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run; it need not have ended")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"(default: {NAME} in the run's folder, or here where "
                        "there are several)")  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder with the dataset test/ (default: where each run found it)")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    only = args.runs[0] if len(args.runs) == 1 else Path()
    out = args.out or only / NAME
    if args.out and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out is {out}, expected a file in a folder that is there")
    write_report(args.runs, out, args.data)
    print(f"report          {out}")


if __name__ == "__main__":
    command(main)
