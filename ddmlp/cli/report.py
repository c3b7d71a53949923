"""Report: ddmlp report RUN [RUN ...]"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.shell import python_command
from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import ConfigError
from ddmlp.reporting import write_report
from ddmlp.runs import REPORT

if TYPE_CHECKING:
    from ddmlp.api.result import Result


def report_on(result: "Result") -> str | None:
    """Write the report of a run into its folder; returns its name. An error is printed, not raised: the run itself has
    succeeded."""
    try:
        return result.write_report().name
    except (Exception, KeyboardInterrupt) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        print(f"note: the report could not be written: {why}; try: {python_command('report', result.run)}")
        return None


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="ddmlp report",
        description="Write a page about a run, or one that compares several: one file that opens without a network, "
        "with the settings, the curves, a breakdown of the time, the confusion matrix and the most confident mistakes.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run, finished or not")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the page (default: {REPORT} in the run's folder, or "
                        "here if there are several runs)")  # fmt: skip
    parser.add_argument(
        "--data", type=Path, help="folder with the dataset test/ (default: the folder that each run was begun with)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    only = args.runs[0] if len(args.runs) == 1 else Path()
    out = args.out or only / REPORT
    if args.out and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out is {out}, expected a file in an existing folder")
    write_report(args.runs, out, args.data)
    print(f"report          {out}")


if __name__ == "__main__":
    command(main)
