"""The test set from the mapped shards, 500 rows at a time, as training and `python -m ddmlp.evaluate` do it; and a
batch of 100 images as `python -m ddmlp.predict` recognises them. Beside them the two matrix products x W1 and y1 W2 of
batches as large, dense, of inputs that are there already. One thread.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ddmlp.data.dataset import Dataset
from ddmlp.inference import evaluation
from ddmlp.inference.model import EVALUATE_ROWS, PREDICT_ROWS, Model
from ddmlp.nn.weights import Floats, Weights
from ddmlp.numerics import pin
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target, per_second
from tools.benchmarks.peers.baseline import Rows
from tools.benchmarks.record import Entry

HIDDEN = (300, 800)
OURS, BOUND = "ddmlp", "matrix products"

Work = Callable[[], int]  # returns the rows it was done for


def products(weights: Weights, x: Floats) -> Work:
    """The bound: x W1 and y1 W2 of the rows x (B, m), and nothing else."""
    y1 = np.empty((len(x), weights.shape.hidden), np.float32)
    z2 = np.empty((len(x), weights.shape.outputs), np.float32)

    def multiply() -> int:
        np.matmul(x, weights.w1, out=y1)
        np.matmul(y1, weights.w2, out=z2)
        return len(x)

    return multiply


def speed(work: Work, seconds: float) -> dict[str, float]:
    return {"rows/s": per_second(work, seconds)}


def works(data: Dataset, rows: Rows, hidden: int) -> Iterator[tuple[str, dict[str, Work]]]:
    """All of `data` evaluated, and a batch of it predicted; each with the products of batches as large."""
    weights = Weights.draw(rows.shape(hidden), seed=0)
    predict = Model(weights, data.manifest.image_shape).predict
    batch, some = rows.first(EVALUATE_ROWS), rows.first(PREDICT_ROWS)
    images = some.pixels.reshape(-1, *data.manifest.image_shape)
    yield (
        "evaluation",
        {OURS: lambda: evaluation.evaluate(weights, data).rows, BOUND: products(weights, batch.scaled())},
    )
    yield "prediction", {OURS: lambda: len(predict(images)), BOUND: products(weights, some.scaled())}


def cases(settings: Settings) -> Cases:
    pin()
    data, rows = Dataset(settings.data / "test"), Rows.load(settings.data / "test")
    for hidden in HIDDEN:
        for what, pair in works(data, rows, hidden):
            yield (
                f"{what}, {hidden} hidden",
                {name: partial(speed, each, settings.seconds) for name, each in pair.items()},
            )


def targets(entry: Entry) -> list[Target]:
    names = [f"{what}, {hidden} hidden" for hidden in HIDDEN for what in ("evaluation", "prediction")]
    return [Target(f"{case}, to its {BOUND}", entry.ratio(case, OURS, BOUND), 0.9) for case in names]


BENCHMARK = Benchmark("recognition", "Evaluation and prediction", __doc__, cases, targets, of=BOUND)
