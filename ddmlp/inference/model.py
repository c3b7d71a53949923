"""A trained model: its weights, and the shape of the images that it takes."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from ddmlp.data.manifest import Manifest
from ddmlp.errors import DatasetError, ImageError, RunError
from ddmlp.nn.weights import Weights
from ddmlp.runs.arrays import join_weights, load_arrays
from ddmlp.runs.checkpoint import EARLIER, load_checkpoint
from ddmlp.runs.json_text import from_json

if TYPE_CHECKING:
    from ddmlp.nn.network import Network

PREDICT_ROWS = 100  # images that are recognised at a time, if there are many


@dataclass(frozen=True)
class Model:
    """A trained model.

    Parameters
    ----------
    weights
        float32, as training leaves them.
    image_shape
        Height and width of the images that it takes, in pixels.
    """

    weights: Weights
    image_shape: tuple[int, int]

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """The probability of each class. Not for two threads at once.

        Parameters
        ----------
        images : (B, height, width) uint8
            Ink 255 on paper 0; any number of them.

        Returns
        -------
        (B, classes) float32, the same bits on every machine

        Raises
        ------
        ImageError
            If they are of another shape or type.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise ImageError(
                f"the images are {images.dtype} of shape {images.shape}, but the model takes uint8 of (any number, "
                f"{', '.join(map(str, self.image_shape))})"
            )
        pixels = images.reshape(len(images), self.weights.shape.inputs)
        return self._network.recognise(self.weights, pixels).probabilities

    @cached_property
    def _network(self) -> "Network":
        """The buffers, from the first use on; who only reads weights does without the compiler."""
        from ddmlp.nn.known_answer import check_arithmetic
        from ddmlp.nn.network import Network

        check_arithmetic()
        return Network(self.weights.shape)


_Side = Annotated[int, Meta(gt=0)]


class _Images(Struct):
    """What result.json says of the images; of a model that was made elsewhere it may say nothing else."""

    image_shape: tuple[_Side, _Side]


def load_weights(path: Path) -> Weights:
    """The weights in an .npz file of just these, in a checkpoint, or in a run's folder; raises RunError."""
    file = path / "model.npz" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise RunError(f"{path} has no model.npz: its run has not ended; go on with it by --resume")
    arrays = load_arrays(file)
    weights = load_checkpoint(file).weights if EARLIER in arrays else join_weights(file, arrays)
    if not weights.finite:
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
        height, width = from_json(result.read_bytes(), _Images).image_shape
    except ValueError:
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
