"""Renders the report: report.html.j2 and its values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ddmlp.reporting import facts, images
from ddmlp.reporting.charts import charts
from ddmlp.reporting.class_names import Names
from ddmlp.reporting.mistakes import most_frequent
from ddmlp.reporting.plots import line_style
from ddmlp.reporting.summary import RunSummary
from ddmlp.reporting.time_split import TimeSplit
from ddmlp.reporting.timeline import Timeline, timeline
from ddmlp.runs.timeline import digest, script

MAX_MATRIX = 36  # classes in a confusion matrix; with more, the most frequent confusions are listed instead
# All text is escaped, and a misspelled name in a template is an error.
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["picture"] = images.digit


@dataclass(frozen=True)
class ReportedRun:
    """A run, prepared for the template.

    Parameters
    ----------
    colour, dashes
        Style of its lines in the charts.
    summary
        The run.
    missing
        What cannot be shown, and why.
    time
        Where the time of training went.
    confusion
        The confusion matrix; empty if it has too many classes.
    frequent
        Then, its largest entries off the diagonal.
    names
        The names of its classes.
    first_layer
        A picture of the weights.
    timeline
        Parts of its trace.
    """

    name: str
    colour: str
    dashes: str
    summary: RunSummary
    missing: list[str]
    time: TimeSplit | None
    confusion: list[list[int]]
    frequent: list[tuple[int, int, int]]
    names: Names
    first_layer: images.FirstLayer | None
    timeline: Timeline | None


def page(summaries: Sequence[RunSummary]) -> str:
    """Return the report of these runs, as HTML."""
    names = labels([summary.path for summary in summaries])
    runs = [_reported(number, *each) for number, each in enumerate(zip(names, summaries, strict=True))]
    return TEMPLATES.get_template("report.html.j2").render(
        title=names[0] if len(names) == 1 else f"{len(names)} runs",
        runs=runs,
        parts={part for run in runs if run.time for part in run.time.shares},
        script=script() if any(run.timeline for run in runs) else "",
        digest=digest(),
        verdict=verdict(names, summaries),
        charts=charts(names, summaries),
        result=facts.compared([facts.result(summary) for summary in summaries]),
        time=facts.compared([facts.time(summary) for summary in summaries]),
        settings=facts.compared([facts.settings(summary) for summary in summaries]),
    )


def verdict(names: Sequence[str], summaries: Sequence[RunSummary]) -> str:
    """Say which runs have weights that are equal bit for bit; "" for a single run."""
    if len(summaries) == 1:
        return ""
    groups: dict[str, list[str]] = {}
    for name, summary in zip(names, summaries, strict=True):
        if summary.weights_sha256 is None:
            return f"The weights cannot be compared: {name} has neither a result nor a checkpoint."
        groups.setdefault(summary.weights_sha256, []).append(name)
    if len(groups) == 1:
        return f"The weights of these {len(names)} runs are equal, bit for bit."
    equal = [", ".join(group) for group in groups.values() if len(group) > 1]
    others = f" These runs have equal weights: {'; '.join(equal)}." if equal else ""
    return f"The weights of these {len(names)} runs differ.{others}"


def labels(paths: Sequence[Path]) -> list[str]:
    """Return the names of the runs' folders, or their paths if two folders have the same name."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _reported(number: int, name: str, summary: RunSummary) -> ReportedRun:
    matrix = summary.evaluation.confusion if summary.evaluation else np.zeros((0, 0), np.int64)
    small = len(matrix) <= MAX_MATRIX
    return ReportedRun(
        name,
        *line_style(number),
        summary,
        missing=[*summary.missing, *(each for start in summary.records.started for each in start.complaints)],
        time=TimeSplit.from_records(summary.records, follow=summary.config.follow),
        confusion=matrix.tolist() if small else [],
        frequent=[] if small else most_frequent(matrix),
        names=Names.of(summary.model, len(matrix)),
        first_layer=images.first_layer(summary.model) if summary.model else None,
        timeline=timeline(summary.path),
    )
