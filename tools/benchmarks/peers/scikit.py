"""scikit-learn's MLPClassifier. It has biases and its own initial weights, and takes no others."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from ddmlp.nn.weights import Weights
from tools.benchmarks.peers.baseline import Baseline, Rows


class Scikit(Baseline):
    """Logistic units, plain gradient descent, no penalty, float32."""

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float) -> None:
        self._x, self._labels = rows.scaled(), rows.labels
        self.rate = rate  # of which it knows only the first
        self._classes = np.arange(weights.shape.outputs)
        self._net = MLPClassifier(
            hidden_layer_sizes=(weights.shape.hidden,),
            activation="logistic",
            solver="sgd",
            alpha=0,
            batch_size=batch,
            learning_rate_init=rate,
            momentum=0,
            shuffle=False,  # the order comes from outside, as it does for the others
            random_state=0,
        )

    def train(self, order: NDArray[np.intp]) -> None:
        self._net.partial_fit(self._x[order], self._labels[order], classes=self._classes)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._net.predict_proba(pixels * np.float32(1 / 255))
        return found
