"""The chapter on recognition: evaluation and prediction beside their matrix products alone."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.inference import evaluation, recogniser
from ddmlp.inference.model import Model
from ddmlp.nn.weights import Floats, Shape, Weights
from ddmlp.numerics import pin
from tools.benchmarks.chapter import Bar, Chapter, Found, Setting, interleaved, median_ratio
from tools.benchmarks.markdown import spread, table

HIDDEN = (300, 800)
LEAST = 0.9
EVALUATION, PREDICTION = "evaluation", "prediction"
BOUND = {EVALUATION: "its matrix products", PREDICTION: "its matrix products, a batch at a time"}

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


def speed(work: Work, seconds: float) -> float:
    """Rows a second, over about so many seconds, after a warm-up."""
    work()
    rows, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        rows += work()
    return rows / passed


def contestants(hidden: int, data: Dataset) -> dict[str, Work]:
    """What is measured: all of `data` evaluated, a batch of it predicted, and the products of batches as large."""
    manifest = data.manifest
    pixels, x = some(data, evaluation.ROWS)
    images = pixels.reshape(-1, *manifest.image_shape)[: recogniser.ROWS]
    weights = Weights.draw(Shape(manifest.pixels, hidden, manifest.classes), seed=0)
    recognise = recogniser.Recogniser(Model(weights, manifest.image_shape))
    return {
        EVALUATION: lambda: evaluation.evaluate(weights, data).rows,
        BOUND[EVALUATION]: products(weights, x),
        PREDICTION: lambda: len(recognise(images)),
        BOUND[PREDICTION]: products(weights, x[: len(images)]),
    }


def some(data: Dataset, most: int) -> tuple[NDArray[np.uint8], Floats]:
    """The first rows: pixels (B, m), and what the network takes of them (B, m) float32."""
    pixels, _ = data.gather(np.arange(min(most, len(data))))
    return pixels, pixels * np.float32(1 / 255)


def measure(setting: Setting) -> Found:
    """Rows a second of each, in this process, on one thread."""
    pin()
    data = Dataset(setting.data / "test")
    speeds = {}
    for hidden in HIDDEN:
        works = contestants(hidden, data)
        timed = {name: partial(speed, work, setting.seconds) for name, work in works.items()}
        speeds[str(hidden)] = interleaved(timed, setting.repeats)
    return {"speeds": speeds}


def bars(found: Found) -> list[Bar]:
    return [
        Bar(f"{what} to {BOUND[what]}, hidden {hidden}", median_ratio(speeds[what], speeds[BOUND[what]]), LEAST)
        for hidden, speeds in found["speeds"].items()
        for what in BOUND
    ]


def show(found: Found) -> str:
    rows = [
        (hidden, what, spread(speeds[what]), spread(speeds[bound]))
        for hidden, speeds in found["speeds"].items()
        for what, bound in BOUND.items()
    ]
    heads = ["hidden", "what", "rows/s", "x W1 and y1 W2 alone, rows/s"]
    return (
        f"The test set from the mapped shards, {evaluation.ROWS} rows at a time, as training and `python -m "
        f"ddmlp.evaluate` do it; and a batch of {recogniser.ROWS} images as `python -m ddmlp.predict` recognises them. "
        "Beside them the two matrix products of batches as large, dense, of inputs that are there already. One "
        f"thread.\n\n{table(heads, rows)}\n"
    )


CHAPTER = Chapter("recognition", "Evaluation and prediction", measure, show, bars)
