"""A trained model: its weights, and a description of the images that it takes."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import ConfigError, ImageError
from ddmlp.inference.explanation import Explanation
from ddmlp.inference.look import MNIST, Look
from ddmlp.nn.weights import Weights

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
        return f"Model({self.weights.shape}, {self.image_shape}, weights_sha256={self.weights_sha256!r})"

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.weights.shape.outputs

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the weights."""
        return self.weights.sha256()

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

    def explain(self, images: NDArray[np.uint8], classes: NDArray[np.intp] | None = None) -> Explanation:
        """Explain the answer for each image: which hidden units speak for it, and which pixels. Not thread-safe.

        Parameters
        ----------
        images : (B, height, width) uint8
            Ink 255 on paper 0; any number of them.
        classes : (B,) intp, optional
            The class of each image to explain; without them, the predicted one.

        Returns
        -------
        Explanation
            The contributions of the hidden units and the saliency of the pixels: the same bits on every machine.

        Raises
        ------
        ImageError, MachineError
            As `predict`.
        ConfigError
            If there is not one class for each image, or the model does not have it.

        Examples
        --------
        >>> from ddmlp.nn.weights import Shape, Weights
        >>> model = Model(Weights.draw(Shape(4, 3, 2), seed=1), image_shape=(2, 2))
        >>> found = model.explain(np.full((5, 2, 2), 255, np.uint8))
        >>> found.contributions.shape, found.saliency.shape
        ((5, 3), (5, 2, 2))
        """
        predicted = self.predict(images)
        classes = predicted if classes is None else np.asarray(classes)
        outputs = self.weights.shape.outputs
        if (
            classes.shape != predicted.shape
            or classes.dtype.kind not in "iu"
            or not np.isin(classes, range(outputs)).all()
        ):
            raise ConfigError(
                f"classes are {classes.dtype} of shape {classes.shape}, expected {len(images)} integers, one for each "
                f"image, of 0 to {outputs - 1}"
            )
        rows, classes = images.reshape(len(images), self.weights.shape.inputs), classes.astype(np.intp)
        hidden, contributions, saliency = self._network.explain(self.weights, rows, classes)
        return Explanation(classes, hidden, contributions, saliency.reshape(images.shape))

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
