"""The plot of the sweep: rows a second against each setting, measured and by the model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tools.benchmarks.sweep import SETTINGS, SEVERAL, VALUES, Point, along

NAME = "benchmarks-growth.svg"
ALTERNATIVE = (
    "Four plots of rows a second, measured and by the model: against the rows of a step, the hidden units, the rows of "
    "the dataset, and the workers. The figures are in the table below."
)
INK = "#777777"  # stands out from white as much as from black
COLOURS = {
    0: ("#d55e00", "one process"),
    SEVERAL: ("#0090d0", f"{SEVERAL} workers"),
}  # an orange and a blue that colour-blind people can tell apart
STYLE: dict[str, Any] = {
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": NAME,  # equal figures give equal files
    "font.size": 9,
}


def draw(points: Mapping[Point, Sequence[float]], predicted: Callable[[Point], float], out: Path) -> None:
    """Write the plot into the folder `out`."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 6), layout="constrained")
        for axes, name in zip(figure.subplots(2, 2).flat, VALUES, strict=True):
            for workers in COLOURS if name != "workers" else (None,):
                chosen = [point for point in along(name) if workers in (None, point.workers)]
                values = [getattr(point, name) for point in chosen]
                colour, label = (INK, None) if workers is None else COLOURS[workers]
                _bars(axes, values, [points[point] for point in chosen], colour, label)
                axes.plot(values, [predicted(point) for point in chosen], "--", color=colour)
            if name != "workers":
                axes.set_xscale("log")
                axes.legend(frameon=False)
            axes.set_xticks(VALUES[name], [f"{value:g}" for value in VALUES[name]])
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
            axes.set_xlabel(SETTINGS[name])
            axes.set_ylabel("rows/s (dashed: the model)")
        figure.savefig(out / NAME, transparent=True, metadata={"Date": None})


def _bars(
    axes: Any, places: Sequence[float], figures: Sequence[Sequence[float]], colour: str, label: str | None
) -> None:
    """The median of each, and how far its repeats reach."""
    middles = [median(each) for each in figures]
    down = [middle - min(each) for middle, each in zip(middles, figures, strict=True)]
    up = [max(each) - middle for middle, each in zip(middles, figures, strict=True)]
    axes.errorbar(places, middles, [down, up], fmt="o", color=colour, label=label)
