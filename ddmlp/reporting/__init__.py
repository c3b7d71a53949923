"""report.html: one page about one run, or about several side by side. `write_report` writes it."""

from collections.abc import Sequence
from pathlib import Path

from ddmlp.errors import ConfigError


def write_report(runs: Sequence[Path], out: Path, data: Path | None = None) -> None:
    """Write the page about `runs` to `out`.

    data: the folder with test/, if it is not where each run found it. Raises RunError if one is not a run, ConfigError
    if there are too many to tell apart, and OSError. Whatever else is missing or damaged is named on the page.
    """
    from ddmlp.files import write_whole  # a command's --help does not wait for these
    from ddmlp.reporting.page import page
    from ddmlp.reporting.plots import MAX_RUNS
    from ddmlp.reporting.summary import read_summary

    if len(runs) > MAX_RUNS:
        raise ConfigError(f"{len(runs)} runs are more than can be told apart in a plot, expected {MAX_RUNS} at most")
    write_whole(out, page([read_summary(run, data) for run in runs]))
