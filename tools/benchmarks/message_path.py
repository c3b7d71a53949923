"""Milliseconds of a step with 2 workers that answer with what they were sent, 300 hidden units, 953 kB an array: what
is left of a step without the arithmetic of its gradients. What else was tried for it:

- *No driver in the path, flat buffers, keys instead of arrays*: what the last line has over the others.
- *Adding subtrees before sending*: a worker adds up the largest nodes of the reduction tree that keep all workers
  evenly busy, so a step of 1,024 rows in microbatches of 128 has 2 messages back, not 8. It is always on.
- *As many workers at a time as there are cores*: four workers on two cores take turns, some hundred units each, and
  each finds its caches warm.
- *Workers that are bound to a core each*: whole runs were no faster for it, so it is not done.
- *Looking before sleeping*: a worker that slept was now and then woken milliseconds late, on the core of the other.
  Each looks for its next unit for 2 ms before it sleeps, and lets all others go first.
- *Reading ahead*: while the server adds and applies, a worker reads the rows that it will most likely be asked for
  next. Whole runs were faster for both, so it is always on.
- *Sending only the rows of dE/dW1 that are not zero*: the fewer rows a microbatch has, the fewer (below). In shared
  memory nothing is sent, and a gradient that lies spread out is added faster than one that has to be spread first, so
  it is not done; over a network it would save a third at 64 rows a worker.
"""

from functools import partial

import numpy as np

from ddmlp.nn.weights import Shape
from tools.benchmarks.benchmark import Benchmark, Cases, Settings
from tools.benchmarks.peers.baseline import Rows, stretches
from tools.benchmarks.processes import in_process
from tools.benchmarks.transports import TRANSPORTS, milliseconds

SHAPE = Shape(784, 300, 10)
MICROBATCHES = (1, 32, 64, 128, 512)


def nonzero(rows: Rows, size: int) -> dict[str, float]:
    """The part of a microbatch's dE/dW1 that is not zero: the rows of the inputs that have ink in one of its rows."""
    order = next(stretches(len(rows.labels), size))
    inked = rows.pixels[order].reshape(-1, size, SHAPE.inputs).any(axis=1)
    return {"% of the rows of dE/dW1": 100 * float(np.mean(inked))}


def cases(settings: Settings) -> Cases:
    yield "a step", {name: partial(in_process, milliseconds, name, SHAPE, settings.seconds) for name in TRANSPORTS}
    rows = Rows.load(settings.data / "train")
    yield "not zero", {f"{size} rows a microbatch": partial(nonzero, rows, size) for size in MICROBATCHES}


BENCHMARK = Benchmark("message-path", "The message path", __doc__, cases)
