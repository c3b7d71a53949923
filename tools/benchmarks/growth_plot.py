"""The plot of the growth: rows a second against each setting, measured and by the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from tools.benchmarks.growth import SEVERAL, VALUES, Point, along

LABELS = ("rows of a step", "hidden units", "rows of the dataset, to MNIST's", "workers (0: one process)")
INK = "#777777"  # stands out from white as much as from black
# An orange and a blue that colour-blind people can tell apart.
COLOURS = {0: ("#d55e00", "one process"), SEVERAL: ("#0090d0", f"{SEVERAL} workers")}
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
STYLE = {**dict.fromkeys(INKED, INK), "svg.hashsalt": "growth", "font.size": 9}  # equal figures give equal files


def plot(points: Mapping[Point, Sequence[float]], predicted: Mapping[Point, float], path: Path) -> None:
    """Write the plot of measured rows a second, with error bars from the lowest to the highest, to `path`."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 6), layout="constrained")
        for axes, name, label in zip(figure.subplots(2, 2).flat, VALUES, LABELS, strict=True):
            lines = COLOURS if name != "workers" else {None: (INK, None)}
            for workers, (colour, legend) in lines.items():
                chosen = [point for point in along(name) if workers in (None, point.workers)]
                values = [getattr(point, name) for point in chosen]
                low, middle, high = np.percentile([points[point] for point in chosen], [0, 50, 100], axis=1)
                axes.errorbar(values, middle, [middle - low, high - middle], fmt="o", color=colour, label=legend)
                axes.plot(values, [predicted[point] for point in chosen], "--", color=colour)
            if name != "workers":
                axes.set_xscale("log")
                axes.legend(frameon=False)
            axes.set_xticks(VALUES[name], [f"{value:g}" for value in VALUES[name]])
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
            axes.set_xlabel(label)
            axes.set_ylabel("rows/s (dashed: the model)")
        figure.savefig(path, transparent=True, metadata={"Date": None})
