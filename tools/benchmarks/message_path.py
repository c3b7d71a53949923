"""The chapter on the message path: ways to carry a step's arrays, without its arithmetic."""

from collections.abc import Callable
from functools import partial

from ddmlp.data.dataset import Dataset
from ddmlp.nn.inputs import Loader
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.training.batch_reader import BatchReader
from tools.benchmarks.chapter import Chapter, Found, Setting, interleaved
from tools.benchmarks.markdown import spread, table
from tools.benchmarks.processes import answer

SHAPE = Shape(784, 300, 10)
WAYS = {
    "driver": "Ray's object store, references through the driver (its documented pattern)",
    "server": "Ray's object store, the server's actor calls the workers",
    "graph": "a compiled graph of Ray's, its channels in shared memory",
    "tcp": "**ddmlp**, to another machine: flat buffers over TCP (here over loopback)",
    "shared": "**ddmlp**, on one machine: shared memory, and only keys over a Unix socket",
}
MICROBATCHES = (1, 32, 64, 128, 512)
SAMPLE = 20  # microbatches


def measure(setting: Setting) -> Found:
    ways: dict[str, Callable[[], float]] = {way: partial(milliseconds, way, setting.seconds) for way in WAYS}
    return {"milliseconds": interleaved(ways, setting.repeats), "live": live(setting)}


def milliseconds(way: str, seconds: float) -> float:
    """Of a step by that way, in processes of its own."""
    return float(answer("tools.benchmarks.ways", way, "--hidden", SHAPE.hidden, "--seconds", seconds)["milliseconds"])


def live(setting: Setting) -> dict[str, tuple[float, float]]:
    """By the rows of a microbatch, which part of the rows of its dE/dW1 are not all zero, and which part of its x is
    multiplied."""
    dataset = Dataset(setting.data / "train")
    found = {}
    for rows in MICROBATCHES:
        plan = Plan(len(dataset), rows, rows, 1, 0, dataset.manifest.batch_rows, len(dataset))
        reader, loader = BatchReader(dataset), Loader(SHAPE, rows)
        parts: list[tuple[float, float]] = []
        for step in range(min(SAMPLE, plan.steps)):
            pixels, labels, _ = reader.read(plan, step, 0)
            inputs, _ = loader.arrange(pixels, labels)
            area = sum(some * (end - begin) for some, begin, end in inputs.blocks)
            parts.append((inputs.x.shape[1] / SHAPE.inputs, area / pixels.size))
        live, multiplied = (sum(part) / len(parts) for part in zip(*parts, strict=True))
        found[str(rows)] = live, multiplied
    return found


def show(found: Found) -> str:
    rows = [(WAYS[way], spread(figures, ".2f")) for way, figures in found["milliseconds"].items()]
    parts = [(size, *(f"{part:.0%}".replace("%", " %") for part in both)) for size, both in found["live"].items()]
    return (
        f"Milliseconds of a step with 2 workers that answer with what they were sent, {SHAPE.hidden} hidden units, "
        f"953 kB an array: what is left of a step without the arithmetic of its gradients.\n\n"
        f"{table(['way', 'ms a step'], rows)}\n\n"
        "What else was tried for it:\n\n"
        "- *No driver in the path, flat buffers, keys instead of arrays*: what the last line has over the others.\n"
        "- *Adding subtrees before sending*: a worker adds up the largest nodes of the reduction tree that keep all "
        "workers evenly busy, so a step of 1,024 rows in microbatches of 128 has 2 messages back, not 8. It is always "
        "on.\n"
        "- *As many workers at a time as there are cores*: four workers on two cores take turns, in stints of some "
        "hundred units, and each finds its caches warm.\n"
        "- *Workers that are bound to a core each*: whole runs were no faster for it, so it is not done.\n"
        "- *Looking before sleeping*: a worker that slept was now and then woken milliseconds late, on the core of the "
        "other. Each looks for its next unit for 2 ms before it sleeps, and lets everyone else go first.\n"
        "- *Reading ahead*: while the server adds and applies, a worker reads the rows that it will most likely be "
        "asked for next. Whole runs were faster for both, so it is always on.\n"
        "- *Sending only the rows of dE/dW1 that can be other than zero*: the fewer rows a microbatch has, the fewer "
        "(below). In shared memory nothing is sent, and one that lies spread out is added faster than one that has to "
        "be spread first, so it is not done; over a network it would save a third at 64 rows a worker, and nothing at "
        "512.\n\n"
        f"{table(['rows of a microbatch', 'rows of dE/dW1 that are not zero', 'of x that is multiplied'], parts)}\n"
    )


CHAPTER = Chapter("message-path", "The message path", measure, show)
