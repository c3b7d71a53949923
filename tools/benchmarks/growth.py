"""The chapter on growth: rows a second as batch, network, data and workers grow, and what a step costs."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median

from ddmlp.data.manifest import Manifest
from ddmlp.transport.socket_pool import CORES
from tools.benchmarks import growth_plot
from tools.benchmarks.chapter import Chapter, Found, Setting, interleaved
from tools.benchmarks.cost_model import CostModel
from tools.benchmarks.enlarged import enlarge
from tools.benchmarks.forecast import forecast
from tools.benchmarks.markdown import spread, table
from tools.benchmarks.sweep import SETTINGS, Point, sweep
from tools.benchmarks.training import trained

ROWS_PER_SECOND = 50_000  # about, of one core at the middle of the sweep: a point is to take the seconds asked for
# What a term counts, and how many of it are shown: costs range from nanoseconds to milliseconds.
UNITS = {
    "steps": ("a step, whatever its size", 1),
    "rows": ("a row: read, scaled, scored", 1),
    "products": ("a row's matrix products, for 1,000 weights", 1000),
    "passes": ("a pass over 1,000 weights: a gradient written, added, applied", 1000),
    "messages": ("a unit handed out and answered", 1),
}


def speed(point: Point, data: Path, seconds: float) -> float:
    """Rows a second of a training of about so many seconds."""
    steps = max(2, round(seconds * ROWS_PER_SECOND * Point().hidden / point.hidden / point.batch))
    epochs = 1 + steps * point.batch // Manifest.read(data / "train").rows
    settings = {"microbatch": point.microbatch, "epochs": epochs, "stop-after": steps}
    settings |= {name: getattr(point, name) for name in ("batch", "hidden", "workers")}
    flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    address = ("--address", "local") if point.workers else ()
    return float(trained(data, *flags, *address)["rows_per_second"])


def measure(setting: Setting) -> Found:
    """Rows a second of every point of the sweep."""
    manifest, points = Manifest.read(setting.data / "train"), sweep()
    datasets = {
        times: setting.data
        if times == 1
        else enlarge(setting.data, round(times * manifest.rows), setting.scratch / f"times-{times:g}")
        for times in {point.times for point in points}
    }
    timed = {str(point): partial(speed, point, datasets[point.times], setting.seconds) for point in points}
    speeds = interleaved(timed, setting.repeats)
    return {
        "cores": CORES,
        "ends": manifest.pixels + manifest.classes,
        "points": [{**asdict(point), "speeds": speeds[str(point)]} for point in points],
    }


def points(found: Found) -> dict[Point, list[float]]:
    """The points and their rows a second."""
    return {Point(**{name: each[name] for name in SETTINGS}): each["speeds"] for each in found["points"]}


def fitted(found: Found) -> CostModel:
    """The model of a step's cost on the machine that was measured."""
    return CostModel.fit(
        [
            (point.step(found["ends"]).on_cores(found["cores"]), point.batch / median(speeds))
            for point, speeds in points(found).items()
        ]
    )


def predicted(model: CostModel, point: Point, found: Found) -> float:
    """Rows a second that the model expects."""
    return point.batch / model.seconds(point.step(found["ends"]).on_cores(found["cores"]))


def show(found: Found) -> str:
    model = fitted(found)
    measured = [
        (
            *(f"{getattr(point, name):,g}" for name in SETTINGS),
            spread(speeds),
            f"{predicted(model, point, found):,.0f}",
        )
        for point, speeds in points(found).items()
    ]
    costs = [
        (what, f"{cost * count * 1e6:,.3g} µs") for cost, (what, count) in zip(model.costs, UNITS.values(), strict=True)
    ]
    return "\n".join(
        [
            f"![{growth_plot.ALTERNATIVE}]({growth_plot.NAME})\n",
            "Each is a training by the command; one setting differs from those in the middle. Microbatches have "
            f"{Point().microbatch} rows, and half of a batch that is too small for two of them.\n",
            table([*SETTINGS.values(), "rows/s", "by the model"], measured) + "\n",
            "The model: the seconds of a step are the work on its critical path, arithmetic, messages and reduction, "
            "times what each costs, fitted to the measurements by least squares of the relative errors; the mean error "
            f"is {model.error:.1%} ([tools/benchmarks/cost_model.py](../tools/benchmarks/cost_model.py)). A term of no "
            "cost is one that the others account for.\n".replace("%", " %"),
            table(["what", "costs"], costs) + "\n",
            forecast(model, found["ends"] * Point().hidden),
        ]
    )


def draw(found: Found, out: Path) -> None:
    growth_plot.draw(points(found), partial(predicted, fitted(found), found=found), out)


CHAPTER = Chapter("growth", "Cost as work grows", measure, show, draw=draw)
