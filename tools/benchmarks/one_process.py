"""One process, one thread: ddmlp beside the bound, dense NumPy, PyTorch and scikit-learn."""

from collections.abc import Callable, Iterator
from functools import partial

from tools.benchmarks.chapter import Bar, Chapter, Figures, Found, Setting, interleaved, median_ratio
from tools.benchmarks.markdown import ratio, spread, table
from tools.benchmarks.peers.roster import available
from tools.benchmarks.processes import answer
from tools.benchmarks.training import rows_of, stint, trained

HIDDEN = (300, 800)
BATCHES = (64, 128, 512, 1)
NAMES = {
    "bound": "bound: the dense products alone",
    "dense": "NumPy, dense",
    "ddmlp": "**ddmlp**",
    "pytorch": "PyTorch",
    "scikit": "scikit-learn",
}
INTRODUCTION = """The same 784-n-10 network, rows and batch, in float32 and one thread; the microbatch is the batch.
ddmlp is `python -m ddmlp.train --workers 0`, with its reading, shuffling and bookkeeping; much of what is zero in the
rows it does not multiply. The peers have all rows in memory. The bound multiplies one batch over and over, and does
nothing else. scikit-learn's network has biases besides."""


def measure(setting: Setting) -> Found:
    found: Found = {}
    for hidden in HIDDEN:
        for batch in BATCHES:
            runs, about = dict(contestants(setting, hidden, batch)), f"{hidden}, {batch}"
            found[about] = interleaved(runs, setting.repeats, f"{about}: ")
    return found


def contestants(setting: Setting, hidden: int, batch: int) -> Iterator[tuple[str, Callable[[], float] | None]]:
    """All of them, in the order of their turns."""
    for name in NAMES:
        if name == "ddmlp":
            yield name, partial(ours, setting, hidden, batch)
        elif name != "scikit" or batch > 1:  # whose steps of one row take minutes
            yield name, partial(theirs, name, setting, hidden, batch) if available(name) else None


def ours(setting: Setting, hidden: int, batch: int) -> float:
    """rows/s of the training command, as its result says."""
    flags = stint(hidden, batch, batch, setting.seconds, rows_of(setting.data))
    return float(trained(setting.data, "--workers", 0, *flags)["rows_per_second"])


def theirs(name: str, setting: Setting, hidden: int, batch: int) -> float:
    """rows/s of a peer, in a process of its own."""
    flags = ("--hidden", hidden, "--batch", batch, "--seconds", setting.seconds)
    return float(answer("tools.benchmarks.stopwatch", name, setting.data, *flags)["rows_per_second"])


def show(found: Found) -> str:
    heads = ["hidden, batch", "", "rows/s, median (lowest to highest)", "of the bound", "ddmlp is faster"]
    rows = [
        [
            setting if name == "bound" else "",
            NAMES[name],
            spread(figures),
            ratio(median_ratio(figures, speeds["bound"])),
            ratio(median_ratio(speeds["ddmlp"], figures)),
        ]
        for setting, speeds in found.items()
        for name, figures in speeds.items()
    ]
    return f"{INTRODUCTION}\n\n{table(heads, rows)}"


def bars(found: Found) -> list[Bar]:
    def bar(hidden: int, batch: int, peer: str, least: float) -> Bar:
        speeds: dict[str, Figures] = found[f"{hidden}, {batch}"]
        what = f"ddmlp to {NAMES[peer].partition(':')[0]}, {hidden} hidden, batch {batch}"
        return Bar(what, median_ratio(speeds["ddmlp"], speeds[peer]), least=least)

    return [
        bar(hidden, batch, peer, least)
        for hidden in HIDDEN
        for batch in BATCHES
        for peer, least in ([("dense", 3.0)] if batch == 1 else [("bound", 1.0), ("pytorch", 1.5)])
    ]


CHAPTER = Chapter("one-process", "One process", measure, show, bars)
