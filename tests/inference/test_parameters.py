"""A third parameter in the network: it is in every file, or there is an error, but no file lacks it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from ddmlp.errors import RunError
from ddmlp.inference.export import export
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import load_weights
from ddmlp.nn import known_answer, reference
from ddmlp.nn.weights import Parameter, Shape, Weights
from ddmlp.runs.arrays import save_arrays, weight_arrays
from ddmlp.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ddmlp.runs.run import Run

SHAPE = Shape(6, 70, 3)
TWO = Shape.parameters.fget


@pytest.fixture(autouse=True)
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a bias of the hidden units to the list of parameters; the known answer keeps two."""

    def three(shape: Shape) -> dict[str, Parameter]:
        return TWO(shape) if shape == known_answer.SHAPE else {**TWO(shape), "b1": Parameter((shape.hidden,))}

    monkeypatch.setattr(Shape, "parameters", property(three))


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the bias to the formula, too."""

    def forward(w1, w2, b1, x):
        y1 = 1 / (1 + np.exp(-(x @ w1 + b1)))
        e = np.exp(y1 @ w2)
        return y1, e / e.sum(axis=1, keepdims=True)

    monkeypatch.setattr(reference, "forward", forward)
    monkeypatch.setattr(reference, "FORMULA", "softmax(logistic(x W1 + b1) W2)")


def biased(bias: float = 0.0) -> Weights:
    weights = Weights.draw(SHAPE, 1)
    weights.parameters["b1"][...] = bias * np.arange(70)
    return weights


def test_in_the_buffer():
    """The bias has a place in the buffer, so it is sent, shared, updated, and checked for non-finite values."""
    weights = biased(1)
    assert SHAPE.size == (6 + 3 + 1) * 128
    assert np.count_nonzero(weights.flat) == 6 * 70 + 70 * 3 + 69
    assert weights.values[-70:].tolist() == list(range(70))
    assert Weights.from_values(SHAPE, weights.values).flat.tobytes() == weights.flat.tobytes()
    weights.parameters["b1"][3] = np.nan
    assert not weights.finite


@pytest.mark.parametrize("length", [1, 64, 65, 200])
def test_vector_lengths(length: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Shape, "parameters", property(lambda shape: {**TWO(shape), "b": Parameter((length,))}))
    weights = Weights(Shape(2, 64, 3))
    weights.parameters["b"][...] = 1
    assert (weights.values[-length:].sum(), weights.flat.sum()) == (length, length)


def test_in_the_hash():
    weights = biased(1)
    w1, w2, b1 = (weights.parameters[name].astype("<f4").tobytes() for name in ("W1", "W2", "b1"))
    assert weights.sha256() == hashlib.sha256(w1 + w2 + b1).hexdigest()
    assert weights.sha256() != biased().sha256()


def test_in_a_checkpoint(tmp_path: Path):
    weights, earlier = biased(1), biased(2)
    save_checkpoint(tmp_path / "c.npz", Checkpoint(weights, 1, earlier=(earlier,)))
    found = load_checkpoint(tmp_path / "c.npz")
    assert [found.weights.sha256(), found.earlier[0].sha256()] == [weights.sha256(), earlier.sha256()]


def test_in_the_model(tmp_path: Path):
    Run(tmp_path).write_model(biased(1))
    assert np.load(tmp_path / "model.npz")["b1"].tolist() == list(range(70))
    assert load_weights(tmp_path).sha256() == biased(1).sha256()


def test_model_without_it(tmp_path: Path):
    arrays = weight_arrays(biased())
    del arrays["b1"]
    save_arrays(tmp_path / "model.npz", arrays)
    with pytest.raises(RunError, match="b1"):
        load_weights(tmp_path / "model.npz")


@pytest.mark.usefixtures("formula")
def test_in_safetensors():
    from safetensors.numpy import load

    written = export(Model(biased(), (2, 3)), "safetensors")
    about = json.loads(written[8 : 8 + int.from_bytes(written[:8], "little")])["__metadata__"]
    assert load(written)["b1"].tolist() == [0] * 70
    assert (about["b1"], about["biases"], "b1" in about["formula"]) == ("[70]", "b1", True)


@pytest.mark.usefixtures("formula")
def test_not_in_the_graph():
    with pytest.raises(RunError, match=r"ONNX.*\bb1\b"):
        export(Model(biased(), (2, 3)), "onnx")


@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_not_in_the_formula(to: str):
    with pytest.raises(RunError, match=r"\bW1, W2, b1\b.* w1, w2, x"):
        export(Model(biased(), (2, 3)), to)


@pytest.mark.usefixtures("formula")
def test_formula_disagrees():
    """The kernels ignore the bias, so the formula and the model disagree."""
    with pytest.raises(RunError, match="differ by"):
        export(Model(biased(0.02), (2, 3)), "safetensors")
