"""A trained model: its weights, and the shape of the images that it takes."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddmlp.data.manifest import Manifest
from ddmlp.errors import DatasetError, RunError
from ddmlp.nn.weights import Weights
from ddmlp.runs.checkpoint import join, load_arrays


@dataclass(frozen=True)
class Model:
    weights: Weights
    image_shape: tuple[int, int]  # height, width


def load_weights(path: Path) -> Weights:
    """The weights in an .npz file of W1 and W2, or in a run's folder; raises RunError."""
    file = path / "model.npz" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise RunError(f"{path} has no model.npz: its run has not ended; go on with it by --resume")
    arrays = load_arrays(file, "W1", "W2")
    weights = join(file, arrays["W1"], arrays["W2"])
    if not np.isfinite(weights.flat).all():
        raise RunError(f"{file} has weights that are not finite")
    return weights


def load_model(path: Path) -> Model:
    """The weights, with the image shape that the run's result names; square images where there is no such file."""
    weights = load_weights(path)
    inputs = weights.shape.inputs
    result = (path if path.is_dir() else path.parent) / "result.json"
    if not result.exists():
        return Model(weights, _square(path, inputs, "no result.json says more"))
    try:
        height, width = json.loads(result.read_bytes())["image_shape"]
        if not (type(height) is type(width) is int and height > 0 and width > 0):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(f"{result} is damaged: it has no image_shape [height, width]") from None
    if height * width != inputs:
        raise RunError(f"{path} takes images of {inputs} pixels, but {result} says {height} x {width}")
    return Model(weights, (height, width))


def model_of(run: Path, weights: Weights, data: Path) -> Model:
    """The weights of a run that has not ended, with the image shape of its training data; square images where these are
    not within reach. Raises RunError where the pixels make no square."""
    inputs = weights.shape.inputs
    try:
        manifest = Manifest.read(data / "train")
        if manifest.pixels == inputs:
            return Model(weights, manifest.image_shape)
    except (DatasetError, OSError):
        pass
    return Model(weights, _square(run, inputs, f"its data are not in {data}"))


def _square(path: Path, inputs: int, besides: str) -> tuple[int, int]:
    side = math.isqrt(inputs)
    if side * side != inputs:
        raise RunError(f"{path} takes images of {inputs} pixels, which is no square, and {besides}")
    return side, side
