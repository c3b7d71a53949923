"""Curves and histograms as SVG that takes the page's colour of text, so that it can be read on light and on dark."""

import io
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it would tell where it caches fonts

# Of Okabe and Ito's colours, which colour-blind people can tell apart, those that stand out from white and from black.
COLOURS = ("#d55e00", "#0090d0", "#009e73", "#cc79a7", "#a08800", "#8f6fd0")
DASHES = ("solid", "dashed")
MAX_RUNS = len(COLOURS) * len(DASHES)
MAX_POINTS = 500  # of a curve: more cannot be told apart
INK = "#010203"  # stands for the page's own: see `_svg`
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
    "svg.hashsalt": "ddmlp",  # equal figures give equal files
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


class Curve(NamedTuple):
    """Points of a run. run: its number, which has a colour; form: one of FORMS."""

    run: int
    x: Sequence[float]
    y: Sequence[float]
    form: str = "line"


def line_style(run: int) -> tuple[str, str]:
    """The colour and the dashes that tell a run from the others."""
    return COLOURS[run % len(COLOURS)], DASHES[run // len(COLOURS)]


def curves(drawn: Sequence[Curve], y_label: str, *, log: bool = False) -> str:
    """Curves over the rows seen, as SVG."""
    with matplotlib.rc_context(STYLE):
        figure = _figure()
        axes = figure.subplots()
        last = max((curve.run for curve in drawn), default=0)
        for curve in drawn:
            # The earlier, the wider: runs that coincide are all seen.
            width = 1.2 + 1.6 * (last - curve.run) / max(2, last)
            colour, dashes = line_style(curve.run)
            style = {"linestyle": dashes, "linewidth": width, **FORMS[curve.form]}
            axes.plot(_thinned(curve.x), _thinned(curve.y), color=colour, **style)
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
        return _svg(figure)


def histogram(counts: Mapping[int, Mapping[int, int]], x_label: str) -> str:
    """For each run, by its number: the percentage of its updates for each whole number. As SVG."""
    with matplotlib.rc_context(STYLE):
        figure = _figure()
        axes = figure.subplots()
        width = 0.8 / len(counts)
        for place, (run, found) in enumerate(counts.items()):
            total = sum(found.values())
            x = [value + (place - (len(counts) - 1) / 2) * width for value in found]
            axes.bar(x, [100 * count / total for count in found.values()], width, color=line_style(run)[0])
        axes.set_xlabel(x_label)
        axes.set_ylabel("updates, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure)


def _figure() -> Figure:
    """Small enough to be read unscaled on a phone."""
    figure = Figure(figsize=(4.2, 2.7))
    figure.subplots_adjust(left=0.17, bottom=0.2, right=0.96, top=0.95)
    return figure


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """At most about MAX_POINTS of the values, evenly, and always the last."""
    every = -(-len(values) // MAX_POINTS)
    return values if every <= 1 else [*values[:-1:every], values[-1]]


def _short(value: float, _place: float) -> str:
    """A number at an axis: 2500 is 2.5k."""
    return str(EngFormatter(sep="")(value)) if abs(value) >= 1000 else f"{value:g}"


def _svg(figure: Figure) -> str:
    """The figure as an element of HTML."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    _, element, rest = buffer.getvalue().partition("<svg")
    # The ids of groups are the same in each plot, and nothing refers to them.
    return re.sub(r'<g id="[^"]*"', "<g", element + rest.replace(INK, "currentColor"))
