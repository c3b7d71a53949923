"""Models for other tools: they recognise what ddmlp recognises, and say what one has to know to use them."""

import hashlib
import json
import os
import re
import sys
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np
import onnxruntime
import pytest
from safetensors import safe_open

from ddmlp.cli.export import describe, main
from ddmlp.data.dataset import Dataset
from ddmlp.data.idx import read_idx
from ddmlp.inference.model import Model, load_model
from ddmlp.inference.recogniser import ROWS, Recogniser
from ddmlp.nn.weights import Shape, Weights
from tests.support.helpers import inside


@pytest.fixture(scope="module")
def images(data: Path) -> np.ndarray:
    """The images of the sample's whole test set: (1000, 28, 28) uint8."""
    dataset = Dataset(data / "test")
    pixels, _ = dataset.gather(np.arange(len(dataset)))
    return pixels.reshape(-1, 28, 28)


def predicted(model: Model, images: np.ndarray) -> np.ndarray:
    """The probabilities of ddmlp, in the precision of the weights."""
    recognise = Recogniser(model)
    return np.concatenate([recognise(images[start : start + ROWS]) for start in range(0, len(images), ROWS)])


def exact(model: Model, images: np.ndarray) -> np.ndarray:
    """The probabilities of ddmlp in float64."""
    weights = Weights(model.weights.shape, model.weights.flat.astype(np.float64))
    return predicted(Model(weights, model.image_shape), images)


def export(model: Path, to: str, out: Path) -> Path:
    done = inside(main, "--model", model, "--to", to, out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{out}  {out.stat().st_size:,} bytes, weights sha256 {load_model(model).weights.sha256()}\n"
    return out


def assert_the_same(session: onnxruntime.InferenceSession, model: Model, images: np.ndarray) -> None:
    """The same classes, and probabilities within 1e-6 of the exact ones; those in float32 are not that near."""
    probabilities, classes = session.run(["probabilities", "class"], {"images": images})
    expected = exact(model, images)
    assert (probabilities.dtype, probabilities.shape) == (np.float32, expected.shape)
    assert classes.tolist() == predicted(model, images).argmax(axis=1).tolist()
    assert np.abs(probabilities - expected).max() < 1e-6
    assert np.abs(probabilities - predicted(model, images)).max() < 1e-5


def test_simple(trained: Path, images: np.ndarray, tmp_path: Path):
    session = onnxruntime.InferenceSession(export(trained, "onnx", tmp_path / "digits.onnx"))
    assert_the_same(session, load_model(trained), images)


def test_onnx_on_the_whole_test_set_of_mnist(trained: Path, mnist: Path, tmp_path: Path):
    session = onnxruntime.InferenceSession(export(trained, "onnx", tmp_path / "digits.onnx"))
    images = read_idx(mnist / "t10k-images-idx3-ubyte.gz")
    assert images.shape == (10_000, 28, 28)
    assert_the_same(session, load_model(trained), images)


def test_onnx_is_exact_where_float32_is_not(images: np.ndarray, tmp_path: Path):
    weights = Weights.draw(Shape(784, 400, 10), seed=1)
    weights.flat *= 4
    np.savez(tmp_path / "model.npz", W1=weights.w1, W2=weights.w2)
    session = onnxruntime.InferenceSession(export(tmp_path / "model.npz", "onnx", tmp_path / "digits.onnx"))
    model = Model(weights, (28, 28))
    assert np.abs(predicted(model, images) - exact(model, images)).max() > 1e-6
    assert np.abs(session.run(["probabilities"], {"images": images})[0] - exact(model, images)).max() < 1e-7


@pytest.mark.parametrize("count", [0, 1, 3])
def test_onnx_takes_any_number_of_images(count: int, trained: Path, images: np.ndarray, tmp_path: Path):
    session = onnxruntime.InferenceSession(export(trained, "onnx", tmp_path / "digits.onnx"))
    (inputs,) = session.get_inputs()
    assert (inputs.name, inputs.type, inputs.shape) == ("images", "tensor(uint8)", ["batch", 28, 28])
    shapes = [(output.name, output.shape) for output in session.get_outputs()]
    assert shapes == [("probabilities", ["batch", 10]), ("class", ["batch"])]
    probabilities, classes = session.run(None, {"images": images[:count]})
    assert (probabilities.shape, classes.shape) == ((count, 10), (count,))


def test_onnx_says_what_it_is(trained: Path, tmp_path: Path):
    about = onnxruntime.InferenceSession(export(trained, "onnx", tmp_path / "digits.onnx")).get_modelmeta()
    assert about.producer_name == "ddmlp"
    assert about.custom_metadata_map == describe(load_model(trained))


def test_onnx_takes_images_that_are_no_squares(tmp_path: Path):
    draw = np.random.default_rng(0)
    w1, w2 = draw.normal(size=(6, 4)).astype(np.float32), draw.normal(size=(4, 3)).astype(np.float32)
    np.savez(tmp_path / "model.npz", W1=w1, W2=w2)
    (tmp_path / "result.json").write_text('{"image_shape": [2, 3]}')
    session = onnxruntime.InferenceSession(export(tmp_path, "onnx", tmp_path / "small.onnx"))
    image = np.array([[[0, 50, 100], [150, 200, 255]]], np.uint8)
    y1 = 1 / (1 + np.exp(-(image.reshape(1, 6) / 255) @ w1.astype(np.float64)))
    e = np.exp(y1 @ w2.astype(np.float64))
    assert session.run(["probabilities"], {"images": image})[0] == pytest.approx(e / e.sum(), abs=1e-6)


def test_safetensors_have_all_that_one_needs_to_use_them(trained: Path, images: np.ndarray, tmp_path: Path):
    with safe_open(export(trained, "safetensors", tmp_path / "digits.safetensors"), framework="numpy") as file:
        about = file.metadata()
        w1, w2 = file.get_tensor("W1"), file.get_tensor("W2")
        assert sorted(file.keys()) == ["W1", "W2"]
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
    assert np.abs(y2 - exact(load_model(trained), images)).max() < 1e-9


def refusal(status: int, *arguments: object) -> str:
    done = inside(main, *arguments)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr
    return done.stderr


@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_what_is_there_is_replaced_only_where_that_is_said(to: str, trained: Path, tmp_path: Path):
    out = tmp_path / "model"
    out.write_text("mine")
    assert "--overwrite" in refusal(2, "--model", trained, "--to", to, out)
    assert out.read_text() == "mine"
    assert inside(main, "--model", trained, "--to", to, "--overwrite", out).returncode == 0
    assert out.stat().st_size > 100_000


def test_a_file_that_cannot_be_written_whole_is_not_written(trained: Path, tmp_path: Path):
    out = tmp_path / "model"
    out.write_text("mine")
    full = OSError(28, "No space left on device")
    with mock.patch.object(os, "fsync", side_effect=full):
        assert "No space left" in refusal(1, "--model", trained, "--to", "safetensors", "--overwrite", out)
    assert out.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert "No such file" in refusal(1, "--model", trained, "--to", "onnx", tmp_path / "nowhere" / "model")


@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_a_missing_package_is_named_with_the_way_to_get_it(to: str, trained: Path, tmp_path: Path):
    absent = {name: None for name in sys.modules if name.partition(".")[0] == to} | {to: None}
    with mock.patch.dict(sys.modules, absent):
        sys.modules.pop(f"ddmlp.{to}_file", None)
        said = refusal(2, "--model", trained, "--to", to, tmp_path / "model")
    assert f"pip install 'ddmlp[{to}]'" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_is_refused(data: Path, tmp_path: Path):
    assert "no model.npz" in refusal(1, "--model", tmp_path, "--to", "onnx", tmp_path / "out")
    np.savez(tmp_path / "double.npz", W1=np.zeros((4, 2)), W2=np.zeros((2, 3)))
    said = refusal(1, "--model", tmp_path / "double.npz", "--to", "onnx", tmp_path / "out")
    assert "float64 weights, expected float32" in said
    assert "invalid choice" in refusal(2, "--model", data, "--to", "pickle", tmp_path / "out")
