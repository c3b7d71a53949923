"""The charts of the report: measurements over the rows that a run was trained on."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ddmlp.reporting.plots import Curve, curves, histogram
from ddmlp.reporting.summary import RunSummary
from ddmlp.runs.events import Epoch, Progress

WAITS = 20  # points of a waiting curve: workers report a wait once it has ended, so shorter intervals are uneven


class Chart(NamedTuple):
    """A chart. alternative: its text for screen readers; svg: an SVG element."""

    title: str
    caption: str
    alternative: str
    svg: str


def charts(names: Sequence[str], runs: Sequence[RunSummary]) -> list[Chart]:
    """Return the charts that have values, each with all runs in it."""

    def lines(value: Callable[[Progress], float | None], form: str = "line") -> list[Curve]:
        return [_curve(run, [(each.rows, value(each)) for each in summary.records.progress], form)
                for run, summary in enumerate(runs)]  # fmt: skip

    def dots(value: Callable[[Epoch], float]) -> list[Curve]:
        return [_curve(run, [(rows, value(test)) for rows, test in _tests(summary)], "dots")
                for run, summary in enumerate(runs)]  # fmt: skip

    found = [
        _chart(names, "Loss", "Mean error E per row, in nats. Lines: training rows, just before the step that trains "
               "on them; each point is the mean since the previous one. Dots: test rows, after each epoch.", "E, nats",
               [*lines(lambda each: each.error), *dots(lambda test: test.cross_entropy)], log=True),
        _chart(names, "Error", "Misclassified rows. Lines: training rows, just before the step that trains on them. "
               "Dots: test rows, after each epoch.", "% of rows",
               [*lines(lambda each: 100 * each.mistakes), *dots(lambda test: 100 * test.error)], log=True),
        _chart(names, "Prequential error", "Lines: rows that were misclassified just before they were trained on, "
               "among the newest rows. Dots: drift alarms, at the error since it has risen.", "% of rows",
               [*lines(lambda each: 100 * each.prequential.error if each.prequential else None),
                *(_curve(run, [(drift.rows, 100 * drift.after) for drift in summary.records.drifts], "dots")
                  for run, summary in enumerate(runs))]),
        _chart(names, "Lag", "Rows of the stream that are not trained on yet: in its broker, and on disk.", "rows",
               lines(lambda each: each.lag.rows if each.lag else None)),
        _chart(names, "Delay", "Seconds since the newest row that is trained on was sent; 0 if all rows are trained "
               "on.", "s", lines(lambda each: each.lag.seconds if each.lag else None)),
        _chart(names, "Speed", "Rows per second of training, since the previous point.", "rows/s",
               lines(lambda each: each.speed)),
        _chart(names, "Waiting", "Lines: time that the server waited for gradients. If it is high, more workers help. "
               "Dotted: time that the average worker waited for a unit. If it is high, the server or the messages are "
               "the bottleneck, and more workers do not help.", "% of time",
               [curve for run, summary in enumerate(runs) for curve in _waits(run, summary)]),
        _staleness(names, runs),
    ]  # fmt: skip
    return [chart for chart in found if chart]


def _tests(summary: RunSummary) -> list[tuple[int, Epoch]]:
    """Return the tests after epochs, each with the number of rows trained on by then."""
    rows = {each.step: each.rows for each in summary.records.progress}
    return [(rows[test.step], test) for test in summary.records.epochs if test.step in rows]


def _waits(run: int, summary: RunSummary) -> list[Curve]:
    """Return the curves of waiting, of the server and of the average worker; none without workers."""
    if not summary.workers:
        return []
    server, worker = [], []
    seconds = waited = starved = 0.0
    for before, after in summary.records.neighbours():
        seconds += after.seconds - before.seconds
        waited += after.waited - before.waited
        starved += (after.gradients.blocked - before.gradients.blocked) / max(1, after.workers)
        if seconds > 0 and seconds >= summary.records.progress[-1].seconds / WAITS:
            server.append((after.rows, 100 * min(1.0, waited / seconds)))
            worker.append((after.rows, 100 * min(1.0, starved / seconds)))
            seconds = waited = starved = 0.0
    return [_curve(run, server, "line"), _curve(run, worker, "limit")]


def _curve(run: int, points: Sequence[tuple[float, float | None]], form: str) -> Curve:
    known = [(x, y) for x, y in points if y is not None]
    return Curve(run, [x for x, _ in known], [y for _, y in known], form)


def _chart(names: Sequence[str], title: str, caption: str, y_label: str, drawn: Sequence[Curve], *,
           log: bool = False) -> Chart | None:  # fmt: skip
    drawn = [curve for curve in drawn if curve.x]
    if not drawn:
        return None
    ends = (f"{names[curve.run]} {curve.y[0]:.4g} to {curve.y[-1]:.4g}" for curve in drawn if curve.form == "line")
    alternative = f"{title} over rows trained on, {y_label}: {'; '.join(ends)}"
    return Chart(title, caption, alternative, curves(drawn, y_label, log=log))


def _staleness(names: Sequence[str], runs: Sequence[RunSummary]) -> Chart | None:
    """Return the histogram of staleness, if gradients may be stale."""
    counts = {
        run: dict(sorted(found.items()))
        for run, summary in enumerate(runs)
        if (summary.config.asynchronous or summary.config.delay) and (found := summary.staleness)
    }
    if not counts:
        return None
    words = (f"{names[run]}: " + ", ".join(f"{each} versions: {count:,}" for each, count in found.items())
             for run, found in counts.items())  # fmt: skip
    caption = "Versions between the weights that a gradient was computed with and those that it was applied to."
    alternative = f"Staleness, number of updates: {'; '.join(words)}"
    return Chart("Staleness", caption, alternative, histogram(counts, "versions"))
