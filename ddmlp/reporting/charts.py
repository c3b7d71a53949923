"""The charts of the report: what runs tell over the rows that they have seen."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ddmlp.reporting.plots import Curve, curves, histogram
from ddmlp.reporting.summary import RunSummary
from ddmlp.runs.events import Epoch, Progress

WAITS = 20  # points of the curves of waiting: workers tell of a wait when it has ended, so shorter stretches are uneven


class Chart(NamedTuple):
    """A plot. alternative: what it shows, in words."""

    title: str
    caption: str
    alternative: str
    svg: str


def charts(names: Sequence[str], runs: Sequence[RunSummary]) -> list[Chart]:
    """The charts that there are values for, each with all runs in it."""

    def lines(value: Callable[[Progress], float | None], form: str = "line") -> list[Curve]:
        return [_curve(run, [(each.rows, value(each)) for each in summary.records.progress], form)
                for run, summary in enumerate(runs)]  # fmt: skip

    def dots(value: Callable[[Epoch], float]) -> list[Curve]:
        return [_curve(run, [(rows, value(test)) for rows, test in _tests(summary)], "dots")
                for run, summary in enumerate(runs)]  # fmt: skip

    found = [
        _chart(names, "Loss", "Mean error E of a row, in nats. Lines: training rows, just before they are trained on, "
               "each point the mean since the one before. Dots: test rows, after an epoch.", "E, nats",
               [*lines(lambda each: each.error), *dots(lambda test: test.cross_entropy)], log=True),
        _chart(names, "Error", "Rows recognised wrongly. Lines: training rows, just before they are trained on. Dots: "
               "test rows, after an epoch.", "rows, %",
               [*lines(lambda each: 100 * each.mistakes), *dots(lambda test: 100 * test.error)], log=True),
        _chart(names, "Prequential error", "Of the newest rows, those that were recognised wrongly before they were "
               "trained on.", "rows, %",
               lines(lambda each: 100 * each.prequential.error if each.prequential else None)),
        _chart(names, "Speed", "Rows a second of training, each point since the one before.", "rows/s",
               lines(lambda each: each.speed)),
        _chart(names, "Waiting", "Lines: how much of the time the server waited for gradients. If it is much, more "
               "workers help. Dotted: how much of it a worker, on average, waited for a unit. If it is much, the "
               "server or the messages are the limit, and more workers do not help.", "of the time, %",
               [curve for run, summary in enumerate(runs) for curve in _waits(run, summary)]),
        _staleness(names, runs),
    ]  # fmt: skip
    return [chart for chart in found if chart]


def _tests(summary: RunSummary) -> list[tuple[int, Epoch]]:
    """The tests after epochs, each with the rows that the run had seen."""
    rows = {each.step: each.rows for each in summary.records.progress}
    return [(rows[test.step], test) for test in summary.records.epochs if test.step in rows]


def _waits(run: int, summary: RunSummary) -> list[Curve]:
    """How much of the time the server waited, and a worker on average; nothing without workers."""
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
    alternative = f"{title} over rows seen, {y_label}: {'; '.join(ends)}"
    return Chart(title, caption, alternative, curves(drawn, y_label, log=log))


def _staleness(names: Sequence[str], runs: Sequence[RunSummary]) -> Chart | None:
    """The histogram, if gradients may be stale."""
    counts = {
        run: dict(sorted(found.items()))
        for run, summary in enumerate(runs)
        if (summary.config.asynchronous or summary.config.delay) and (found := summary.staleness)
    }
    if not counts:
        return None
    words = (f"{names[run]}: " + ", ".join(f"{each} in {count:,}" for each, count in found.items())
             for run, found in counts.items())  # fmt: skip
    caption = "Versions between the weights that a gradient was computed with and those it was applied to."
    alternative = f"Staleness, updates with each: {'; '.join(words)}"
    return Chart("Staleness", caption, alternative, histogram(counts, "versions"))
