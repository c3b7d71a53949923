"""Models in files: reads them, and describes the images that they take."""

import math
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest, check_names
from ddmlp.errors import ConfigError, DatasetError, RunError
from ddmlp.inference.look import MNIST, Look
from ddmlp.inference.model import Model
from ddmlp.nn.weights import Weights
from ddmlp.runs.arrays import ABOUT, Array, join_weights, load_arrays, to_record
from ddmlp.runs.checkpoint import EARLIER, load_checkpoint
from ddmlp.runs.json_text import from_json
from ddmlp.runs.result import Side
from ddmlp.runs.run import Run


class _Images(Struct):
    """The only member of result.json that is needed: models from other programs may have no other."""

    image_shape: tuple[Side, Side]


class About(Struct, frozen=True):
    """The description of a model's training images, in the array `about` of model.npz; see Model."""

    image_shape: tuple[Side, Side]
    look: Look
    class_names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> "About":
        """Describe the images of a dataset. Raises DatasetError."""
        manifest = dataset.manifest
        return cls(manifest.image_shape, Look.of(dataset), manifest.class_names)

    def model(self, weights: Weights) -> Model:
        """Make the model with these weights. Raises ValueError or ConfigError if they do not fit."""
        if self.class_names is not None:
            check_names(self.class_names, weights.shape.outputs)
        return Model(weights, self.image_shape, self.look, self.class_names)


def load_weights(path: Path) -> Weights:
    """Read weights as `load_model` does, without a description of the images. Raises RunError."""
    return _load(path)[0]


def load_shape(path: Path) -> tuple[int, int] | None:
    """Read the shape of the images that a model takes; None if its file does not describe them. Raises RunError."""
    return None if _load(path)[1] is None else load_model(path).image_shape


def _load(path: Path) -> tuple[Weights, Array | None]:
    """Read weights, and the description of the images, if there is one."""
    file = path / "model.npz" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        if not Run(path).exists:
            raise RunError(f"{path} holds no model: it has no model.npz; expected a run's folder, or an .npz file")
        raise RunError(f"{path} has no model.npz: its run is unfinished; resume it")
    arrays, about = load_arrays(file), None
    if EARLIER in arrays:
        weights = load_checkpoint(file).weights
    else:
        about = arrays.pop(ABOUT, None)
        weights = join_weights(file, arrays)
    if not weights.finite:
        raise RunError(f"{file} has weights that are not finite")
    return weights, about


def load_model(path: Path) -> Model:
    """Read a model from a run's folder, a model's .npz file or a checkpoint.

    If the file does not describe its images, as those of ddmlp 0.1 do not, their shape is that in the result.json
    beside it, or else a square, and their look that of MNIST.

    Raises
    ------
    RunError
        If there is no model, if the file is damaged or has weights that are not finite, or if the shape is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> np.savez("weights.npz", W1=np.zeros((4, 3), np.float32), W2=np.zeros((3, 2), np.float32))
    >>> load_model(Path("weights.npz")).image_shape
    (2, 2)
    """
    weights, about = _load(path)
    if about is not None:
        try:
            return to_record(about, About).model(weights)
        except (ValueError, ConfigError) as error:
            raise RunError(f"{path} is damaged: its description of the images is wrong: {error}") from None
    inputs = weights.shape.inputs
    result = (path if path.is_dir() else path.parent) / "result.json"
    if not result.exists():
        return Model(weights, _square(path, inputs, "no result.json gives their shape"))
    try:
        height, width = from_json(result.read_bytes(), _Images).image_shape
    except ValueError:
        raise RunError(f"{result} is damaged: it has no image_shape [height, width]") from None
    if height * width != inputs:
        raise RunError(f"{path} takes images of {inputs} pixels, but {result} says {height} x {width}")
    return Model(weights, (height, width))


def model_of(run: Path, weights: Weights, data: Path) -> Model:
    """Make a model of the weights of an unfinished run, described by its training data in `data`/train.

    If the data cannot be read, the images are square and look like MNIST's. Raises RunError if they cannot be square.
    """
    inputs = weights.shape.inputs
    with suppress(DatasetError, OSError):
        manifest = Manifest.read(data / "train")
        if (manifest.pixels, manifest.classes) == (inputs, weights.shape.outputs):
            look = MNIST
            with suppress(DatasetError):
                look = Look.of(Dataset(data / "train"))
            return Model(weights, manifest.image_shape, look, manifest.class_names)
    return Model(weights, _square(run, inputs, f"its data are not in {data}"))


def _square(path: Path, inputs: int, reason: str) -> tuple[int, int]:
    """Return the shape of square images. Raises RunError with the reason why no shape is known."""
    side = math.isqrt(inputs)
    if side * side != inputs:
        raise RunError(f"{path} takes images of {inputs} pixels, which is not a square number, and {reason}")
    return side, side
