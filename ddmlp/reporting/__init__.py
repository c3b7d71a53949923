"""The report: one HTML page about one run, or about several runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from ddmlp.errors import ConfigError


def write_report(runs: Sequence[Path], out: Path, data: Path | None = None) -> None:
    """Write a report.

    The page needs no other file and no network. It names whatever it cannot show because files are missing or damaged.

    Parameters
    ----------
    runs
        Folders of runs, at most 12.
    out
        The HTML file.
    data
        The folder with test/, if the data of the runs have moved.

    Raises
    ------
    RunError
        If a folder does not hold a run.
    ConfigError
        If there are too many runs to tell apart in a chart.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> write_report([Path("runs/missing")], Path("report.html"))
    Traceback (most recent call last):
    ddmlp.errors.RunError: runs/missing holds no run: the folder does not exist; begin one by `ddmlp train` or ddmlp.fit
    """
    from ddmlp.files import write_whole  # imported late, so that --help of the commands is fast
    from ddmlp.reporting.page import page
    from ddmlp.reporting.plots import MAX_RUNS
    from ddmlp.reporting.summary import read_summary

    if len(runs) > MAX_RUNS:
        raise ConfigError(
            f"there are {len(runs)} runs, expected at most {MAX_RUNS}: more cannot be told apart in a chart"
        )
    write_whole(out, page([read_summary(run, data) for run in runs]))
