"""How fast a trained network recognises, beside the two matrix products x W1 and y1 W2 alone."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.inference.evaluation import evaluate
from ddmlp.inference.model import EVALUATE_ROWS, PREDICT_ROWS, Model
from ddmlp.nn.weights import Floats, Weights
from ddmlp.numerics import pin
from tools.benchmarks.benchmark import Benchmark, Cases, Settings, Target, per_second
from tools.benchmarks.peers.baseline import Rows, scaled
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


def evaluated(weights: Weights, data: Dataset) -> int:
    return evaluate(weights, data).rows


def predicted(model: Model, images: NDArray[np.uint8]) -> int:
    return len(model.predict(images))


def speed(work: Work, seconds: float) -> dict[str, float]:
    return {"rows/s": per_second(work, seconds)}


def cases(settings: Settings) -> Cases:
    pin()
    data, rows = Dataset(settings.data / "test"), Rows.load(settings.data / "test")
    images = rows.first(PREDICT_ROWS).pixels.reshape(-1, *data.manifest.image_shape)
    for hidden in HIDDEN:
        weights = Weights.draw(rows.shape(hidden), seed=0)
        model = Model(weights, data.manifest.image_shape)
        ours: dict[str, tuple[Work, int]] = {
            "evaluation": (partial(evaluated, weights, data), EVALUATE_ROWS),
            "prediction": (partial(predicted, model, images), PREDICT_ROWS),
        }
        for what, (work, batch) in ours.items():
            works = {OURS: work, BOUND: products(weights, scaled(rows.first(batch).pixels))}
            yield f"{what}, {hidden} hidden", {n: partial(speed, w, settings.seconds) for n, w in works.items()}


def targets(entry: Entry) -> list[Target]:
    names = [f"{what}, {hidden} hidden" for hidden in HIDDEN for what in ("evaluation", "prediction")]
    return [Target(f"{case}, to its {BOUND}", entry.ratio(case, OURS, BOUND), 0.9) for case in names]


BENCHMARK = Benchmark("recognition", cases, targets, of=BOUND)
