"""What runs tell over the rows that they have seen, as plots."""

from collections.abc import Callable, Sequence

from ddmlp.reporting.charts import Curve, curves, histogram
from ddmlp.reporting.markup import Html, tag
from ddmlp.reporting.summary import RunSummary
from ddmlp.runs.events import Epoch, Progress, Queue


def trends(names: Sequence[str], stories: Sequence[RunSummary]) -> Html:
    """The plots that there is something for, each with all runs in it."""
    figures = [
        _plot(names, "Loss", "Mean error E of a row, in nats. Lines: training rows, just before they are trained on, "
              "each point the mean since the one before. Dots: test rows, after an epoch.", "E, nats",
              [*_lines(stories, lambda line: line.error), *_dots(stories, lambda test: test.cross_entropy)], log=True),
        _plot(names, "Error", "Rows recognised wrongly. Lines: training rows, just before they are trained on. Dots: "
              "test rows, after an epoch.", "rows, %",
              [*_lines(stories, lambda line: 100 * line.mistakes), *_dots(stories, lambda test: 100 * test.error)],
              log=True),
        _plot(names, "Prequential error", "Of the newest rows, those that were recognised wrongly before they were "
              "trained on.", "rows, %", _prequential(stories)),
        _plot(names, "Speed", "Rows a second of training, each point since the one before.", "rows/s",
              _lines(stories, lambda line: line.speed)),
        _plot(names, "Queue of units", "Units asked for and not yet answered, at the end of a step. Dotted: the most "
              "so far.", "units", _queue(stories, lambda line: line.units)),
        _plot(names, "Queue of gradients", "Workers whose answer lay unread, when there was last looked. Dotted: the "
              "most so far.", "answers", _queue(stories, lambda line: line.gradients)),
        _staleness(names, stories),
    ]  # fmt: skip
    shown = [figure for figure in figures if figure]
    return tag("div", *shown, class_="grid") if shown else Html()


def _plot(
    names: Sequence[str], title: str, about: str, y_label: str, drawn: Sequence[Curve], *, log: bool = False
) -> Html:
    """A plot with its caption, and in words from where to where each line goes; nothing where there is none."""
    drawn = [curve for curve in drawn if curve.x]
    if not drawn:
        return Html()
    ways = (f"{names[curve.run]} {curve.y[0]:.4g} to {curve.y[-1]:.4g}" for curve in drawn if curve.form == "line")
    alternative = f"{title} over rows seen, {y_label}: {'; '.join(ways)}"
    return tag("figure", tag("h3", title), curves(drawn, y_label, alternative, log=log), tag("figcaption", about))


def _lines(stories: Sequence[RunSummary], tell: Callable[[Progress], float], form: str = "line") -> list[Curve]:
    return [
        Curve(run, [line.rows for line in lines], [tell(line) for line in lines], form)
        for run, story in enumerate(stories)
        if (lines := story.records.progress)
    ]


def _dots(stories: Sequence[RunSummary], tell: Callable[[Epoch], float]) -> list[Curve]:
    found = []
    for run, story in enumerate(stories):
        rows = {line.step: line.rows for line in story.records.progress}
        tests = [test for test in story.records.epochs if test.step in rows]
        found.append(Curve(run, [rows[test.step] for test in tests], [tell(test) for test in tests], "dots"))
    return found


def _prequential(stories: Sequence[RunSummary]) -> list[Curve]:
    found = []
    for run, story in enumerate(stories):
        points = [(line.rows, line.prequential) for line in story.records.progress if line.prequential is not None]
        found.append(Curve(run, [rows for rows, _ in points], [100 * error for _, error in points]))
    return found


def _queue(stories: Sequence[RunSummary], queue: Callable[[Progress], Queue]) -> list[Curve]:
    """How deep it was and the most it was; nothing where it never held more than one."""
    drawn = [
        *_lines(stories, lambda line: queue(line).depth),
        *_lines(stories, lambda line: queue(line).high_water, "limit"),
    ]
    return drawn if any(value > 1 for curve in drawn for value in curve.y) else []


def _staleness(names: Sequence[str], stories: Sequence[RunSummary]) -> Html:
    """The histogram, where gradients may be stale."""
    counts = {
        run: dict(sorted(found.items()))
        for run, story in enumerate(stories)
        if (story.config.asynchronous or story.config.delay) and (found := story.staleness)
    }
    if not counts:
        return Html()
    words = (f"{names[run]}: " + ", ".join(f"{each} in {count:,}" for each, count in found.items())
             for run, found in counts.items())  # fmt: skip
    plot = histogram(counts, "versions", f"Staleness, updates with each: {'; '.join(words)}")
    about = "Versions between the weights that a gradient was computed with and those it was applied to."
    return tag("figure", tag("h3", "Staleness"), plot, tag("figcaption", about))
