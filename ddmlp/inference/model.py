"""A trained model: its weights, and a description of the images that it takes."""

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest, check_names
from ddmlp.errors import ConfigError, DatasetError, ImageError, RunError
from ddmlp.inference.look import MNIST, Look
from ddmlp.nn.weights import Weights
from ddmlp.runs.arrays import ABOUT, Array, join_weights, load_arrays, to_record
from ddmlp.runs.checkpoint import EARLIER, load_checkpoint
from ddmlp.runs.json_text import from_json
from ddmlp.runs.result import Side
from ddmlp.runs.run import Run

if TYPE_CHECKING:
    from ddmlp.nn.network import Network, Recognised

PREDICT_ROWS = 100  # images per call, if there are many


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model.

    Parameters
    ----------
    weights
        The parameters, float32.
    image_shape
        Height and width of its images, in pixels.
    look
        The look of its training images; pictures are fitted to it.
    class_names
        The names of the classes, if they have names.
    """

    weights: Weights
    image_shape: tuple[int, int]
    look: Look = MNIST
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if math.prod(self.image_shape) != (inputs := self.weights.shape.inputs):
            raise ConfigError(f"image_shape is {self.image_shape}, but the weights take {inputs} pixels")

    def __repr__(self) -> str:
        return f"Model({self.weights.shape}, {self.image_shape}, weights_sha256={self.weights.sha256()!r})"

    def class_name(self, label: int) -> str:
        """Return the name of the class with the number `label`; without names, the number as text."""
        return self.class_names[label] if self.class_names else str(label)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Predict the class of each image. Not thread-safe.

        Parameters
        ----------
        images : (B, height, width) uint8
            Ink 255 on paper 0; any number of them.

        Returns
        -------
        (B,) intp
            The number of the most probable class of each image; the lowest number if several are equal.

        Raises
        ------
        ImageError
            If the images have another shape or type.
        MachineError
            If this machine computes other bits than all others.

        Examples
        --------
        >>> from ddmlp.nn.weights import Shape, Weights
        >>> model = Model(Weights.draw(Shape(4, 3, 2), seed=1), image_shape=(2, 2))
        >>> model.predict(np.zeros((5, 2, 2), np.uint8)).shape
        (5,)
        """
        return self._recognise(images).predicted

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probability of each class. Not thread-safe.

        Parameters
        ----------
        images : (B, height, width) uint8
            Ink 255 on paper 0; any number of them.

        Returns
        -------
        (B, classes) float32
            The softmax of the outputs (the note's y2): the same bits on every machine.

        Raises
        ------
        ImageError, MachineError
            As `predict`.

        Examples
        --------
        >>> from ddmlp.nn.weights import Shape, Weights
        >>> model = Model(Weights.draw(Shape(4, 3, 2), seed=1), image_shape=(2, 2))
        >>> model.predict_proba(np.zeros((5, 2, 2), np.uint8)).sum(axis=1).round(6).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
        """
        return self._recognise(images).probabilities

    def _recognise(self, images: NDArray[np.uint8]) -> "Recognised":
        if not isinstance(images, np.ndarray):
            raise ImageError(f"the images are a {type(images).__name__}, expected an array")
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise ImageError(
                f"the images are {images.dtype} of shape {images.shape}, but the model takes uint8 of shape "
                f"(any number, {', '.join(map(str, self.image_shape))})"
            )
        return self._network.recognise(self.weights, images.reshape(len(images), self.weights.shape.inputs))

    @cached_property
    def _network(self) -> "Network":
        """The buffers. They are made at the first use, because reading weights does not need the compiler."""
        from ddmlp.nn.known_answer import check_arithmetic
        from ddmlp.nn.network import Network

        check_arithmetic()
        return Network(self.weights.shape)


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
