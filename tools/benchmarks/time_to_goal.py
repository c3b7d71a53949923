"""How long the whole command takes, from its start to its exit, to recognise 98 % of the test rows on two cores."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from statistics import median
from typing import NamedTuple

from tools.benchmarks.chapter import Bar, Chapter, Figures, Found, Setting, interleaved, median_ratio
from tools.benchmarks.markdown import ratio, spread, table
from tools.benchmarks.peers.roster import available
from tools.benchmarks.processes import answer
from tools.benchmarks.training import trained

GOAL = 0.98
SEEDS = 3  # in turns over the repeats


class Recipe(NamedTuple):
    """The settings with which one comes to the goal.

    epochs: for a peer, the most; it ends with the first that does. linear: the learning rate falls to zero over them.
    """

    hidden: int
    batch: int
    lr: float
    epochs: int
    linear: bool


# Of hidden 200 to 800, batch 8 to 64, rates per row 1/64 to 1/8, and 5 to 12 epochs, those that were done first.
OURS = Recipe(300, 16, 1.0, 6, linear=True)
RECIPES = {"pytorch": Recipe(300, 16, 1.0, 5, linear=True), "scikit": Recipe(300, 16, 1.0, 30, linear=False)}
WORKERS = (0, 2)
PEERS = {
    f"{title}, {threads} thread{'s' * (threads > 1)}": (name, threads)
    for name, title in [("pytorch", "PyTorch"), ("scikit", "scikit-learn")]
    for threads in (1, 2)
}
INTRODUCTION = """Plain gradient descent on the 784-n-10 network with logistic units, each with the settings that were
fastest for it; all read the same files. A peer looks at the test rows after every epoch, and ends with the first that
has 98 % right. ddmlp does not look: it trains for a number of epochs that is fixed beforehand, with which every seed
comes to 98 %. PyTorch's rate falls as ddmlp's does; scikit-learn has no such schedule. A peer that does not come there
within its epochs is counted with the seconds of those: it would have needed more. No report is written (`--no-report`),
which would take ddmlp half a second more."""


def measure(setting: Setting) -> Found:
    reached: dict[str, list[float]] = {}
    seconds = interleaved(dict(contestants(setting, reached)), setting.repeats)
    recipes = {name: OURS if name in our_names() else RECIPES[PEERS[name][0]] for name in seconds}
    return {"goal": GOAL, "seconds": seconds, "accuracy": reached, "recipes": recipes}


def our_names() -> dict[str, int]:
    """ddmlp's, with the number of workers."""
    return {f"ddmlp, {workers} workers" if workers else "ddmlp, one process": workers for workers in WORKERS}


def contestants(setting: Setting, reached: dict[str, list[float]]) -> Iterator[tuple[str, Callable[[], float] | None]]:
    """Seconds of each command, with the next seed at each call; the accuracy it came to is added to `reached`."""

    def timed(name: str, train: Callable[[Setting, int], float], seeds: Iterator[int]) -> float:
        start = time.perf_counter()
        accuracy = train(setting, next(seeds) % SEEDS)
        passed = time.perf_counter() - start
        reached.setdefault(name, []).append(accuracy)
        return passed

    for name, workers in our_names().items():
        yield name, partial(timed, name, partial(ours, workers), count())
    for name, (peer, threads) in PEERS.items():
        yield name, partial(timed, name, partial(theirs, peer, threads), count()) if available(peer) else None


def ours(workers: int, setting: Setting, seed: int) -> float:
    """The accuracy that the training command comes to."""
    settings = ("--hidden", OURS.hidden, "--batch", OURS.batch, "--lr", OURS.lr, "--epochs", OURS.epochs)
    microbatch = OURS.batch // max(1, workers)
    flags = (*settings, "--microbatch", microbatch, "--seed", seed)
    return 1 - float(trained(setting.data, "--workers", workers, *flags)["test_error"])


def theirs(name: str, threads: int, setting: Setting, seed: int) -> float:
    """The accuracy that a peer comes to."""
    hidden, batch, lr, epochs, linear = RECIPES[name]
    settings = ("--hidden", hidden, "--batch", batch, "--lr", lr, "--epochs", epochs, *["--linear"][: int(linear)])
    flags = (*settings, "--seed", seed, "--goal", GOAL)
    return float(answer("tools.benchmarks.goal", name, setting.data, *flags, threads=threads)["accuracy"][-1])


def short(found: Found, name: str) -> int:
    """How often one has not come to the goal."""
    return sum(accuracy < found["goal"] for accuracy in found["accuracy"].get(name, []))


def counted(found: Found, name: str) -> Figures:
    """The seconds that count: a peer's; those of one of ddmlp's ways that came to the goal with every seed."""
    figures: Figures = found["seconds"][name]
    return None if name in our_names() and short(found, name) else figures


def show(found: Found) -> str:
    heads = [
        "",
        "hidden",
        "batch",
        "learning rate",
        "which",
        "epochs",
        "seconds, median (lowest to highest)",
        "of one process",
    ]
    first = next(iter(our_names()))

    def seconds(name: str) -> str:
        missed = f", {missed} of them in vain" if (missed := short(found, name)) else ""
        return f"{spread(found['seconds'][name], '.1f')}{missed}"

    rows = [
        [
            name.replace("ddmlp", "**ddmlp**"),
            *(f"{value:g}" for value in recipe[:3]),
            "falls to zero" if recipe[4] else "kept",
            f"{'' if name in our_names() else 'up to '}{recipe[3]}",
            seconds(name),
            ratio(median_ratio(counted(found, name), counted(found, first))),
        ]
        for name, recipe in found["recipes"].items()
    ]
    return f"{INTRODUCTION}\n\n{table(heads, rows)}"


def bars(found: Found) -> list[Bar]:
    """The faster of ddmlp's ways to every peer."""
    return [
        Bar(f"seconds of ddmlp, the faster way, to {name}", median_ratio(best(found), counted(found, name)), most=1)
        for name in PEERS
    ]


def best(found: Found) -> Figures:
    """The seconds of ddmlp's way with the lower median."""
    ways: Mapping[str, Figures] = {name: counted(found, name) for name in our_names()}
    return min((figures for figures in ways.values() if figures), key=median, default=None)


CHAPTER = Chapter("time-to-98", "Time to 98 %", measure, show, bars)
