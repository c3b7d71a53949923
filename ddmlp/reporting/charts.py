"""Plots, as SVG that stands in the page and takes its text colour, so that it can be read on light and on dark."""

import io
import logging
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from ddmlp.reporting.markup import Html
from ddmlp.reporting.style import BLUE, GREEN, OLIVE, ORANGE, PINK, VIOLET

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where its fonts are cached is nobody's business here

COLOURS = (ORANGE, BLUE, GREEN, PINK, OLIVE, VIOLET)
DASHES = ("-", "--")
MOST_RUNS = len(COLOURS) * len(DASHES)
INK = "#010203"  # stands for the page's own: see `_svg`
FORMS: dict[str, dict[str, Any]] = {
    "line": {},
    "dots": {"linestyle": "none", "marker": "o", "markersize": 5, "markeredgecolor": INK, "zorder": 3},
    "limit": {"linestyle": ":", "linewidth": 1},
}
POINTS = 500  # of a curve: more cannot be told apart
STYLE: dict[str, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "ddmlp",  # equal figures give equal files
}
NOTHING = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # of metadata, which name outside addresses


class Curve(NamedTuple):
    """Points of a run. run: its number, which has a colour; form: one of FORMS."""

    run: int
    x: Sequence[float]
    y: Sequence[float]
    form: str = "line"


def colour(run: int) -> str:
    return COLOURS[run % len(COLOURS)]


def dashed(run: int) -> bool:
    """Whether a run's lines are dashed, because its colour is another's already."""
    return run >= len(COLOURS)


def curves(drawn: Sequence[Curve], y_label: str, alternative: str, *, log: bool = False) -> Html:
    """Curves over the rows seen."""
    with matplotlib.rc_context(STYLE):
        figure = _figure()
        axes = figure.subplots()
        last = max((curve.run for curve in drawn), default=0)
        for curve in drawn:
            # The earlier, the wider: where runs coincide, each is seen.
            width = 1.2 + 1.6 * (last - curve.run) / max(2, last)
            style = {"linestyle": DASHES[dashed(curve.run)], "linewidth": width, **FORMS[curve.form]}
            axes.plot(_thinned(curve.x), _thinned(curve.y), color=colour(curve.run), **style)
        axes.set_xlabel("rows seen")
        axes.xaxis.set_major_formatter(_short)
        axes.set_ylabel(y_label)
        if log and any(value > 0 and math.isfinite(value) for curve in drawn for value in curve.y):
            axes.set_yscale("log", nonpositive="mask")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:g}")
        else:
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(_short)
        return _svg(figure, alternative)


def histogram(counts: Mapping[int, Mapping[int, int]], x_label: str, alternative: str) -> Html:
    """For each run, by its number: the percentage of its updates for each whole number."""
    with matplotlib.rc_context(STYLE):
        figure = _figure()
        axes = figure.subplots()
        width = 0.8 / len(counts)
        for place, (run, found) in enumerate(counts.items()):
            total = sum(found.values())
            x = [value + (place - (len(counts) - 1) / 2) * width for value in found]
            axes.bar(x, [100 * count / total for count in found.values()], width, color=colour(run))
        axes.set_xlabel(x_label)
        axes.set_ylabel("updates, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, alternative)


def _figure() -> Figure:
    """Small enough to be read unscaled on a phone."""
    figure = Figure(figsize=(4.2, 2.7))
    figure.subplots_adjust(left=0.17, bottom=0.2, right=0.96, top=0.95)
    return figure


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """At most about POINTS of the values, evenly, and always the last."""
    every = -(-len(values) // POINTS)
    return values if every <= 1 else [*values[:-1:every], values[-1]]


def _short(value: float, _place: float) -> str:
    """A number at an axis: 2500 is 2.5k."""
    return str(EngFormatter(sep="")(value)) if abs(value) >= 1000 else f"{value:g}"


def _svg(figure: Figure, alternative: str) -> Html:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=NOTHING)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would hold for the whole page
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to these, and another plot has the same
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    return Html(text.replace("<svg", f'<svg role="img" aria-label="{escape(alternative)}"', 1))
