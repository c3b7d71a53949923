"""Evaluation agrees with the run's result and with plain NumPy."""

from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import RunError
from ddmlp.inference.evaluation import Evaluation, evaluate
from ddmlp.inference.saved_model import load_weights
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.run import Run


def rows(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    return dataset.gather(np.arange(len(dataset)))


def probabilities(model: Path, pixels: np.ndarray) -> np.ndarray:
    """The note's equations (1) and (2), in float64."""
    with np.load(model) as file:
        w1, w2 = (file[name].astype(np.float64) for name in ("W1", "W2"))
    y1 = 1 / (1 + np.exp(-(pixels / 255) @ w1))
    e = np.exp(y1 @ w2)
    return e / e.sum(axis=1, keepdims=True)


def test_simple(trained, data):
    dataset = Dataset(data / "test")
    found = evaluate(load_weights(trained), dataset)
    pixels, labels = rows(dataset)
    y2 = probabilities(trained / "model.npz", pixels)
    recognised = y2.argmax(axis=1)
    assert found.rows == 1_000
    assert found.mistakes == np.count_nonzero(recognised != labels)
    assert 0 < found.error == found.mistakes / 1_000 < 0.2
    assert found.confusion.tolist() == [
        [np.count_nonzero((labels == true) & (recognised == other)) for other in range(10)] for true in range(10)
    ]
    assert found.cross_entropy == pytest.approx(-np.log(y2[np.arange(1_000), labels]).mean(), rel=1e-5)


def test_same_as_result(trained, data):
    result = Run(trained).result()
    found = evaluate(load_weights(trained), Dataset(data / "test"))
    assert found.error == result.test_error
    assert found.cross_entropy == result.test_cross_entropy
    assert found.rows == result.test_rows


def test_confusion_by_class(trained, data):
    for part in ("train", "test"):
        dataset = Dataset(data / part)
        confusion = evaluate(load_weights(trained), dataset).confusion
        assert confusion.sum(axis=1).tolist() == np.bincount(rows(dataset)[1], minlength=10).tolist()
        assert confusion.sum() == len(dataset)


def test_odd_shards(trained, data, tmp_path):
    pixels, labels = rows(Dataset(data / "test"))
    with DatasetWriter(tmp_path / "odd", (28, 28), 10, shard_rows=123) as writer:
        writer.append(pixels[:777].reshape(-1, 28, 28), labels[:777])
    found = evaluate(load_weights(trained), Dataset(tmp_path / "odd"))
    expected = probabilities(trained / "model.npz", pixels[:777]).argmax(axis=1)
    assert (found.rows, found.mistakes) == (777, np.count_nonzero(expected != labels[:777]))


def test_off_the_diagonal():
    found = Evaluation(np.array([[5, 1], [2, 2]]), 0.5, np.array([2, 3, 7]))
    assert (found.rows, found.mistakes, found.error) == (10, 3, 0.3)


@pytest.mark.parametrize("shape", [Shape(783, 4, 10), Shape(784, 4, 9)])
def test_other_shape(data, shape):
    with pytest.raises(RunError) as caught:
        evaluate(Weights.draw(shape, 0), Dataset(data / "test"))
    for fact in (shape.inputs, shape.outputs, f"{data}/test", 784, 10):
        assert str(fact) in str(caught.value)


def test_more_classes(data):
    found = evaluate(Weights.draw(Shape(784, 4, 12), 0), Dataset(data / "test"))
    assert found.confusion.shape == (12, 12)
    assert found.rows == 1_000


def test_checkpoint(trained, data):
    newest = max((trained / "checkpoints").glob("step-*.npz"))
    assert (
        evaluate(load_weights(newest), Dataset(data / "test")).error
        == evaluate(load_weights(trained), Dataset(data / "test")).error
    )
