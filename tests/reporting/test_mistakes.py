"""The most confident mistakes and the most frequent confusions."""

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.inference.evaluation import evaluate
from ddmlp.inference.saved_model import load_model
from ddmlp.reporting.mistakes import MAX_CONFUSIONS, MAX_MISTAKES, Mistake, most_confident, most_frequent


def test_simple(runs, data):
    model, dataset = load_model(runs / "plain"), Dataset(data / "test")
    pixels, labels = dataset.gather(np.arange(1_000))
    y2 = model.predict_proba(pixels.reshape(-1, 28, 28))
    predicted = y2.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    due = sorted(wrong.tolist(), key=lambda row: -y2[row, predicted[row]])[:MAX_MISTAKES]
    found = most_confident(model, dataset, evaluate(model.weights, dataset).wrong)
    assert [mistake.row for mistake in found] == due
    for mistake in found:
        assert (mistake.truth, mistake.recognised) == (labels[mistake.row], predicted[mistake.row])
        assert mistake.probabilities == pytest.approx(y2[mistake.row], abs=1e-6)
        assert mistake.image.tolist() == pixels[mistake.row].reshape(28, 28).tolist()


def test_no_mistakes(runs, data):
    assert most_confident(load_model(runs / "plain"), Dataset(data / "test"), np.array([], np.intp)) == []


def test_truth_is_shown():
    probabilities = np.array([0.1] * 9 + [0.05, 0.03, 0.02])
    mistake = Mistake(1, truth=11, image=np.zeros((2, 2), np.uint8), probabilities=probabilities)
    assert list(mistake.shown) == [*range(10), 11]
    assert mistake.shown[11] == 0.02


def test_most_frequent():
    confusion = np.array([[50, 1, 0], [7, 60, 3], [0, 3, 70]])
    assert most_frequent(confusion) == [(1, 0, 7), (1, 2, 3), (2, 1, 3), (0, 1, 1)]
    assert confusion[0, 0] == 50
    assert len(most_frequent(np.ones((40, 40), np.int64))) == MAX_CONFUSIONS
