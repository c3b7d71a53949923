"""Exported models agree with ddmlp, and their metadata says how to use them."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import read_idx
from ddmlp.inference.export import export, metadata_of
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import load_model
from ddmlp.nn.weights import Shape, Weights

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@pytest.fixture(scope="module")
def images(data: Path) -> np.ndarray:
    """All images of the sample's test set: (1000, 28, 28) uint8."""
    dataset = Dataset(data / "test")
    pixels, _ = dataset.gather(np.arange(len(dataset)))
    return pixels.reshape(-1, 28, 28)


def exact(model: Model, images: np.ndarray) -> np.ndarray:
    """The note's equations (1) and (2), in float64."""
    w1, w2 = (matrix.astype(np.float64) for matrix in (model.weights.w1, model.weights.w2))
    e = np.exp(1 / (1 + np.exp(-(images.reshape(len(images), len(w1)) / 255) @ w1)) @ w2)
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return load_model(trained)


def session_of(model: Model) -> "InferenceSession":
    from onnxruntime import InferenceSession

    return InferenceSession(export(model, "onnx"))


@pytest.fixture(scope="module")
def session(model: Model) -> "InferenceSession":
    return session_of(model)


def assert_the_same(session: "InferenceSession", model: Model, images: np.ndarray) -> None:
    """Assert the same classes, and probabilities within 1e-6 of the exact ones (in float32, they differ by more)."""
    probabilities, classes = session.run(["probabilities", "class"], {"images": images})
    expected = exact(model, images)
    assert (probabilities.dtype, probabilities.shape) == (np.float32, expected.shape)
    assert classes.tolist() == model.predict(images).tolist()
    assert np.abs(probabilities - expected).max() < 1e-6
    assert np.abs(probabilities - model.predict_proba(images)).max() < 1e-5


def test_simple(session: "InferenceSession", model: Model, images: np.ndarray):
    assert_the_same(session, model, images)


def test_onnx_on_mnist(session: "InferenceSession", model: Model, mnist: Path):
    images = read_idx(mnist / "t10k-images-idx3-ubyte.gz")
    assert images.shape == (10_000, 28, 28)
    assert_the_same(session, model, images)


@pytest.mark.usefixtures("session")  # onnxruntime keeps files open from its first session on
def test_onnx_is_exact(images: np.ndarray):
    weights = Weights.draw(Shape(784, 400, 10), seed=1)
    weights.flat *= 8
    model = Model(weights, (28, 28))
    session = session_of(model)
    assert np.abs(model.predict_proba(images) - exact(model, images)).max() > 1e-6
    assert np.abs(session.run(["probabilities"], {"images": images})[0] - exact(model, images)).max() < 1e-7


@pytest.mark.usefixtures("session")  # onnxruntime keeps files open from its first session on
def test_float32(model: Model, images: np.ndarray):
    """The graph has no 64-bit numbers, and predicts the same classes."""
    from onnx import TensorProto, load_from_string
    from onnxruntime import InferenceSession

    written = export(model, "onnx", float32=True)
    graph = load_from_string(written).graph
    kinds = {each.data_type for each in graph.initializer}
    kinds |= {attribute.i for node in graph.node for attribute in node.attribute if attribute.name == "to"}
    assert kinds == {TensorProto.FLOAT}
    session = InferenceSession(written)
    probabilities, classes = session.run(["probabilities", "class"], {"images": images})
    assert np.abs(probabilities - exact(model, images)).max() < 1e-5
    assert classes.tolist() == model.predict(images).tolist()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_onnx_batch_sizes(count: int, session: "InferenceSession", images: np.ndarray):
    (inputs,) = session.get_inputs()
    assert (inputs.name, inputs.type, inputs.shape) == ("images", "tensor(uint8)", ["batch", 28, 28])
    shapes = [(output.name, output.shape) for output in session.get_outputs()]
    assert shapes == [("probabilities", ["batch", 10]), ("class", ["batch"])]
    probabilities, classes = session.run(None, {"images": images[:count]})
    assert (probabilities.shape, classes.shape) == ((count, 10), (count,))


def test_onnx_metadata(session: "InferenceSession", model: Model):
    about = session.get_modelmeta()
    assert about.producer_name == "ddmlp"
    assert about.custom_metadata_map == metadata_of(model)


@pytest.mark.usefixtures("session")  # onnxruntime keeps files open from its first session on
def test_onnx_not_square():
    draw = np.random.default_rng(0)
    w1, w2 = draw.normal(size=(6, 4)).astype(np.float32), draw.normal(size=(4, 3)).astype(np.float32)
    model = Model(Weights.join(w1, w2), (2, 3))
    image = np.array([[[0, 50, 100], [150, 200, 255]]], np.uint8)
    assert session_of(model).run(["probabilities"], {"images": image})[0] == pytest.approx(
        exact(model, image), abs=1e-6
    )


def test_safetensors(trained: Path, model: Model, images: np.ndarray):
    """The tensors and the metadata are enough to use the model."""
    from safetensors.numpy import load as load_safetensors

    written = export(model, "safetensors")
    header = json.loads(written[8 : 8 + int.from_bytes(written[:8], "little")])  # as in the format's specification
    about, tensors = header["__metadata__"], load_safetensors(written)
    w1, w2 = tensors["W1"], tensors["W2"]
    assert sorted(tensors) == ["W1", "W2"]
    assert [list(w1.shape), list(w2.shape)] == [json.loads(about["W1"]), json.loads(about["W2"])]
    assert (about["hidden_activation"], about["output_activation"], about["biases"]) == ("logistic", "softmax", "none")
    assert json.loads(about["image_shape"]) == list(images.shape[1:])
    bits = w1.astype("<f4").tobytes() + w2.astype("<f4").tobytes()
    assert hashlib.sha256(bits).hexdigest() == about["weights_sha256"]
    assert about["weights_sha256"] == json.loads((trained / "result.json").read_bytes())["weights_sha256"]
    x = images.reshape(len(images), -1) * float(Fraction(about["input_scale"]))
    e = np.exp(1 / (1 + np.exp(-x @ w1)) @ w2)
    y2 = e / e.sum(axis=1, keepdims=True)
    assert y2.shape[1] == int(about["classes"])
    assert np.abs(y2 - exact(model, images)).max() < 1e-9


@pytest.mark.parametrize("hidden", [3, 64, 65])
def test_hidden_sizes(hidden: int):
    """The matrices in the files are stored row by row, without the padding of the hidden units."""
    from onnx import load_from_string, numpy_helper
    from safetensors.numpy import load as load_safetensors

    weights = Weights.draw(Shape(4, hidden, 3), seed=1)
    model = Model(weights, (2, 2))
    graph = load_from_string(export(model, "onnx")).graph
    for found in (
        load_safetensors(export(model, "safetensors")),
        {each.name: numpy_helper.to_array(each) for each in graph.initializer},
    ):
        assert found["W1"].tolist() == weights.w1.tolist()
        assert found["W2"].tolist() == weights.w2.tolist()
