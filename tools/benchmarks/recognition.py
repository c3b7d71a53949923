"""Speed of evaluation and prediction, compared with the two matrix products x W1 and y1 W2 alone."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.inference.evaluation import EVALUATE_ROWS, evaluate
from ddmlp.inference.model import PREDICT_ROWS, Model
from ddmlp.nn.weights import Weights
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target, per_second
from tools.benchmarks.peers.baseline import Rows, matrices, one_blas_thread, scaled
from tools.benchmarks.record import Entry

HIDDEN = (300, 800)
OURS, BOUND = "ddmlp", "matrix products"


def products(weights: Weights, pixels: NDArray[np.uint8]) -> Callable[[], object]:
    """Return a function that computes only x W1 and y1 W2 for the rows `pixels` (B, m)."""
    x, (w1, w2) = scaled(pixels), matrices(weights.shape, weights.values)
    y1, z2 = (np.empty((len(x), width), np.float32) for width in weights.shape[1:])

    def multiply() -> None:
        np.matmul(x, w1, out=y1)
        np.matmul(y1, w2, out=z2)

    return multiply


def speed(work: Callable[[], object], rows: int, seconds: float) -> dict[str, float]:
    return {"rows/s": rows * per_second(work, seconds)}


def cases(settings: Settings) -> Cases:
    one_blas_thread()
    data, rows = Dataset(settings.data / "test"), Rows.load(settings.data / "test")
    images = rows.first(PREDICT_ROWS).pixels.reshape(-1, *data.manifest.image_shape)
    for hidden in HIDDEN:
        weights = Weights.draw(rows.shape(hidden), seed=0)
        predict = Model(weights, data.manifest.image_shape).predict
        evaluation = partial(speed, partial(evaluate, weights, data), len(data), settings.seconds)
        prediction = partial(speed, partial(predict, images), len(images), settings.seconds)
        for what, ours, batch in [("evaluation", evaluation, EVALUATE_ROWS), ("prediction", prediction, PREDICT_ROWS)]:
            some = rows.first(batch).pixels
            bound = partial(speed, products(weights, some), len(some), settings.seconds)
            yield f"{what}, {hidden} hidden", {OURS: ours, BOUND: bound}


def targets(entry: Entry) -> list[Target]:
    names = [f"{what}, {hidden} hidden" for hidden in HIDDEN for what in ("evaluation", "prediction")]
    return [Target(f"{case}, to its {BOUND}", entry.ratio(case, OURS, BOUND), 0.9) for case in names]


BENCHMARK = Benchmark("recognition", cases, targets, of=BOUND)
