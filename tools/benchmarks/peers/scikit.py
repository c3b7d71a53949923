"""scikit-learn's MLPClassifier, with biases and its own initial weights, which cannot be set."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from ddmlp.nn.weights import Weights
from tools.benchmarks.peers.baseline import Baseline, Rows, one_blas_thread, scaled


class Scikit(Baseline):
    """Logistic units, plain gradient descent without penalty, float32."""

    def __init__(self, rows: Rows, weights: Weights, batch: int, rate: float) -> None:
        one_blas_thread()
        self._x, self._labels = scaled(rows.pixels), rows.labels
        self.rate = rate  # later changes have no effect
        self._classes = np.arange(weights.shape.outputs)
        descent = {"solver": "sgd", "alpha": 0, "momentum": 0, "batch_size": batch, "learning_rate_init": rate}
        descent |= {"shuffle": False, "random_state": 0}  # the caller determines the order, as for the other peers
        self._net = MLPClassifier((weights.shape.hidden,), "logistic", **descent)

    def train(self, order: NDArray[np.intp]) -> None:
        self._net.partial_fit(self._x[order], self._labels[order], classes=self._classes)

    def accuracy(self, rows: Rows) -> float:
        return float(self._net.score(scaled(rows.pixels), rows.labels))
