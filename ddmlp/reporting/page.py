"""The report: one HTML page about one run, or about several side by side. Nothing in it is fetched from anywhere."""

from collections.abc import Sequence
from pathlib import Path

from ddmlp.config import TrainConfig
from ddmlp.reporting.charts import colour, dashed
from ddmlp.reporting.gallery import gallery
from ddmlp.reporting.markup import Html, comparison, join, named, side_by_side, tag
from ddmlp.reporting.style import STYLE
from ddmlp.reporting.summary import RunSummary
from ddmlp.reporting.time_split import time_split
from ddmlp.reporting.trends import trends

# Of itself the page may only show: no script, and nothing from outside.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(stories: Sequence[RunSummary]) -> str:
    """The page."""
    names = labels([story.path for story in stories])
    title = names[0] if len(names) == 1 else f"{len(names)} runs"
    sections = [
        tag("h1", f"ddmlp: {title}"),
        key(names) if len(names) > 1 else Html(),
        _section("Result", comparison(names, [_result(story) for story in stories], marked=True)),
        _section("Not shown", _missing(names, stories)),
        _section("Over rows seen", trends(names, stories)),
        _section("Time", time_split(names, stories)),
        _section("Recognition", side_by_side(names, [gallery(story) for story in stories])),
        _section("Settings", comparison(names, [_settings(story) for story in stories], marked=True)),
        _section("Once more", *named(names, [_again(story) for story in stories])),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", f"ddmlp: {title}"),
        tag("style", Html(STYLE)),
    ]
    html = tag("html", tag("head", *head), tag("body", tag("main", *sections)), lang="en")
    return f"<!DOCTYPE html>\n{html}\n"


def labels(paths: Sequence[Path]) -> list[str]:
    """What runs are called: by their folders' names, or by their paths where two names are the same."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def key(names: Sequence[str]) -> Html:
    """Which run is drawn how."""
    dashes = ("solid", "dashed")
    lines = (tag("i", style=f"border-top-color: {colour(run)}; border-top-style: {dashes[dashed(run)]}")
             for run in range(len(names)))  # fmt: skip
    return tag("ul", *(tag("li", line, name) for line, name in zip(lines, names, strict=True)), class_="key")


def _section(heading: str, *content: Html) -> Html:
    return tag("section", tag("h2", heading), *content) if any(content) else Html()


def _result(story: RunSummary) -> dict[str, str]:
    """What a run came to."""
    result, lines = story.result, story.records.progress
    told = {"state": story.state}
    if result is None:
        if story.last:
            told["weights sha256 of the last checkpoint"] = f"{story.last.weights_sha256} (step {story.last.step:,})"
            told["chain"] = story.last.digest
        if lines:
            told |= {"rows seen": f"{lines[-1].rows:,}", "seconds of training": f"{lines[-1].seconds:.1f}"}
        if found := story.evaluation:
            told[f"test error at step {story.model_step:,}"] = _share(found.mistakes, found.rows)
        return told
    if result.test_error is not None and result.test_rows is not None:
        told["test error"] = _share(round(result.test_error * result.test_rows), result.test_rows)
    if first := result.prequential:
        told["recognised wrongly before trained on"] = (
            f"{first.error:.2%} of the newest {first.window:,} rows, {first.overall:.2%} of all"
        )
    if story.config.asynchronous and (updates := result.staleness.total()):
        mean = sum(versions * count for versions, count in result.staleness.items()) / updates
        told["staleness"] = f"{mean:.2f} versions on average, {max(result.staleness)} at most"
    return told | {
        "weights sha256": result.weights_sha256,
        "chain": result.chain,
        "rows seen": f"{result.rows:,} in {result.steps:,} steps",
        "seconds of training": f"{result.seconds:.1f}",
        "speed": f"{result.speed:,.0f} rows/s",
        **result.others,
    }


def _share(mistakes: int, rows: int) -> str:
    return f"{mistakes / rows:.2%} ({mistakes:,} of {rows:,} rows)"


def _again(story: RunSummary) -> Html:
    """How to train the same once more, and how to have it checked."""
    same = "the same rows in the same order, to other weights" if story.config.asynchronous else "to the same weights"
    lines = f"# {same if story.result else 'the same, to its end'}", story.command
    return tag("pre", "\n".join([*lines, "# computes this run again, and compares", story.check]), tabindex="0")


def _settings(story: RunSummary) -> dict[str, str]:
    """What the result is a function of, and what it was computed with."""
    settings = {name: str(getattr(story.config, name)) for name in TrainConfig.names()}
    workers = {} if story.workers is None else {"workers": str(story.workers)}
    data = {"data": str(story.origin.data), "dataset sha256": story.origin.dataset_sha256}
    return settings | workers | data | (story.result.versions if story.result else {})


def _missing(names: Sequence[str], stories: Sequence[RunSummary]) -> Html:
    """What cannot be shown, and what a run complained about when it was gone on with."""
    lines = ([*story.missing, *(each for start in story.records.started for each in start.complaints)]
             for story in stories)  # fmt: skip
    return join(named(names, [tag("ul", *(tag("li", line) for line in each)) if each else Html() for each in lines]))
