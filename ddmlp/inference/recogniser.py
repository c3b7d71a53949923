"""A model, ready to recognise images."""

import numpy as np
from numpy.typing import NDArray

from ddmlp.inference.model import Model
from ddmlp.nn.inputs import Loader
from ddmlp.nn.network import Network
from ddmlp.numerics import pin

ROWS = 100  # at a time


class Recogniser:
    """Recognises images with a model. Not for two threads at once."""

    def __init__(self, model: Model) -> None:
        pin()
        self._model = model
        dtype = model.weights.flat.dtype
        self._network = Network(model.weights.shape, ROWS, dtype)
        self._loader = Loader(model.weights.shape, ROWS, dtype)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """The probability of each class: images (B, height, width) uint8 in, (B, classes) out, B at most ROWS."""
        inputs = self._loader.load(images.reshape(len(images), -1))
        return self._network.forward(self._model.weights, inputs).copy()
