"""Models in files, and the descriptions of the images that they take."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.errors import RunError
from ddmlp.inference.look import MNIST, Look
from ddmlp.inference.saved_model import load_model, load_weights, model_of
from ddmlp.nn.weights import Shape, Weights

WEIGHTS = Weights.draw(Shape(6, 4, 3), 0)


@pytest.mark.parametrize("value", [np.float32("nan"), np.float32("inf"), np.float64(1e39)])
def test_not_finite(tmp_path, value):
    """Values that are not finite in float32 are rejected."""
    np.savez(tmp_path / "model.npz", W1=np.full((4, 3), value), W2=np.zeros((3, 2), value.dtype))
    with pytest.raises(RunError, match=r"/model\.npz .*not finite"):
        load_weights(tmp_path / "model.npz")


def test_unfinished_run(data, tmp_path):
    """The training data give the image shape, if they can be read."""
    weights = Weights.draw(Shape(784, 4, 10), 0)
    assert model_of(tmp_path, weights, data).image_shape == (28, 28)
    assert model_of(tmp_path, weights, tmp_path / "nowhere").image_shape == (28, 28)
    with pytest.raises(RunError, match="6 pixels"):
        model_of(tmp_path, WEIGHTS, data)


def saved(folder: Path, **about: object) -> Path:
    """Write a model.npz that describes its images; about: changes to the description."""
    told = {"image_shape": [2, 3], "look": msgspec.to_builtins(MNIST), "class_names": None} | about
    text = np.frombuffer(json.dumps(told).encode(), np.uint8)
    np.savez(folder / "model.npz", **WEIGHTS.parameters, about=text)
    return folder / "model.npz"


def test_about_of_a_run(trained, data):
    model = load_model(trained)
    assert (model.image_shape, model.look) == ((28, 28), Look.of(Dataset(data / "train")))
    assert model.look != MNIST
    assert load_model(trained / "model.npz").look == model.look


def test_class_names(tmp_path):
    found = load_model(saved(tmp_path, class_names=["no", "yes", "perhaps"]))
    assert (found.image_shape, found.class_name(2)) == ((2, 3), "perhaps")
    assert load_model(saved(tmp_path)).class_name(2) == "2"
    assert found.weights.sha256() == WEIGHTS.sha256()


@pytest.mark.parametrize(
    "about",
    [
        {"image_shape": [3, 3]},
        {"image_shape": [-2, -3]},
        {"class_names": ["no", "yes"]},
        {"class_names": ["no", "yes", "yes"]},
        {"look": None},
        {"look": {}},
        {"look": {**msgspec.to_builtins(MNIST), "background": 256}},
        {"look": {**msgspec.to_builtins(MNIST), "ink": {"least": 1, "median": float("nan"), "greatest": 2}}},
    ],
)
def test_damaged_about(tmp_path, about):
    path = saved(tmp_path, **about)
    with pytest.raises(RunError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path} is damaged: ")


def file_of(path: Path, inputs: int) -> Path:
    np.savez(path, W1=np.zeros((inputs, 2), np.float32), W2=np.zeros((2, 3), np.float32))
    return path


def test_square_images(tmp_path):
    assert load_model(file_of(tmp_path / "model.npz", 36)).image_shape == (6, 6)


def test_not_square(tmp_path):
    path = file_of(tmp_path / "model.npz", 35)
    with pytest.raises(RunError) as caught:
        load_model(path)
    assert all(fact in str(caught.value) for fact in (str(path), "35 pixels", "result.json"))


def test_shape_from_result(tmp_path):
    file_of(tmp_path / "model.npz", 36)
    (tmp_path / "result.json").write_text(json.dumps({"image_shape": [4, 9]}))
    assert load_model(tmp_path).image_shape == load_model(tmp_path / "model.npz").image_shape == (4, 9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"image_shape": 6}',
        '{"image_shape": [6]}',
        '{"image_shape": ["six", "six"]}',
        '{"image_shape": [null, 6]}',
        '{"image_shape": [-6, -6]}',
        '{"image_shape": [6.5, 6]}',
        '{"image_shape": [6.0, 6.0]}',
        '{"image_shape": [true, 36]}',
        '{"image_shape": [0, 36]}',
        '{"image_shape": [6, 6, 1]}',
        '{"image_shape": "66"}',
        '{"image_shape": null}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_damaged_result(tmp_path, text):
    file_of(tmp_path / "model.npz", 36)
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(RunError) as caught:
        load_model(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/result.json is damaged: ")
    assert "image_shape" in str(caught.value)


def test_misfit_result(tmp_path):
    file_of(tmp_path / "model.npz", 36)
    (tmp_path / "result.json").write_text(json.dumps({"image_shape": [5, 7]}))
    with pytest.raises(RunError) as caught:
        load_model(tmp_path)
    assert all(fact in str(caught.value) for fact in ("36 pixels", f"{tmp_path}/result.json", "5 x 7"))
