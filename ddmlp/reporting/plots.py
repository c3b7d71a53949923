"""Curves and histograms as SVG in the page's text colour, readable on light and dark backgrounds."""

import io
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs where it caches fonts

# Okabe and Ito's colours, which colour-blind people can tell apart, adjusted to stand out from white and from black.
COLOURS = ("#d55e00", "#0090d0", "#009e73", "#cc79a7", "#a08800", "#8f6fd0")
DASHES = ("solid", "dashed")
MAX_RUNS = len(COLOURS) * len(DASHES)
MAX_POINTS = 500  # of a curve: more cannot be told apart
INK = "#010203"  # placeholder for the page's text colour; see `_svg`
FORMS: dict[str, dict[str, Any]] = {
    "line": {},
    "dots": {"linestyle": "none", "marker": "o", "markersize": 5, "markeredgecolor": INK, "zorder": 3},
    "limit": {"linestyle": ":", "linewidth": 1},
}
STYLE: dict[str, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "ddmlp",  # makes equal figures equal files
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


class Curve(NamedTuple):
    """A curve of a run. run: its number, which decides its colour; form: a key of FORMS."""

    run: int
    x: Sequence[float]
    y: Sequence[float]
    form: str = "line"


def line_style(run: int) -> tuple[str, str]:
    """Return the colour and the dashes of a run's lines."""
    return COLOURS[run % len(COLOURS)], DASHES[run // len(COLOURS)]


def curves(drawn: Sequence[Curve], y_label: str, *, log: bool = False) -> str:
    """Draw curves over the rows trained on, as SVG."""
    with matplotlib.rc_context(STYLE):
        figure = _figure()
        axes = figure.subplots()
        last = max((curve.run for curve in drawn), default=0)
        for curve in drawn:
            # Earlier runs have wider lines, so that curves that coincide all stay visible.
            width = 1.2 + 1.6 * (last - curve.run) / max(2, last)
            colour, dashes = line_style(curve.run)
            style = {"linestyle": dashes, "linewidth": width, **FORMS[curve.form]}
            axes.plot(_thinned(curve.x), _thinned(curve.y), color=colour, **style)
        axes.set_xlabel("rows trained on")
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
        return _svg(figure)


def histogram(counts: Mapping[int, Mapping[int, int]], x_label: str) -> str:
    """Draw a histogram of each run's updates, in percent, as SVG. counts: updates by value, by number of run."""
    with matplotlib.rc_context(STYLE):
        figure = _figure()
        axes = figure.subplots()
        width = 0.8 / len(counts)
        for place, (run, found) in enumerate(counts.items()):
            total = sum(found.values())
            x = [value + (place - (len(counts) - 1) / 2) * width for value in found]
            axes.bar(x, [100 * count / total for count in found.values()], width, color=line_style(run)[0])
        axes.set_xlabel(x_label)
        axes.set_ylabel("% of updates")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure)


def _figure() -> Figure:
    """Make a figure that is small enough to be read on a phone without scaling."""
    figure = Figure(figsize=(4.2, 2.7))
    figure.subplots_adjust(left=0.17, bottom=0.2, right=0.96, top=0.95)
    return figure


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """Return about MAX_POINTS of the values at most, evenly spaced, always with the last."""
    every = -(-len(values) // MAX_POINTS)
    return values if every <= 1 else [*values[:-1:every], values[-1]]


def _short(value: float, _place: float) -> str:
    """Format a number on an axis: 2500 is 2.5k."""
    return str(EngFormatter(sep="")(value)) if abs(value) >= 1000 else f"{value:g}"


def _svg(figure: Figure) -> str:
    """Return the figure as an HTML element."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    _, element, rest = buffer.getvalue().partition("<svg")
    # Group ids would occur in every plot of the page, and nothing refers to them.
    return re.sub(r'<g id="[^"]*"', "<g", element + rest.replace(INK, "currentColor"))
