"""Models: predictions of images."""

import numpy as np
import pytest

from ddmlp.errors import ConfigError, ImageError
from ddmlp.inference.model import PREDICT_ROWS, Model
from ddmlp.inference.saved_model import load_model
from ddmlp.nn.weights import Shape, Weights

WEIGHTS = Weights.draw(Shape(6, 4, 3), 0)
IMAGES = np.random.default_rng(0).integers(0, 256, (3 * PREDICT_ROWS + 7, 2, 3), np.uint8)


def note(weights: Weights, images: np.ndarray) -> np.ndarray:
    """The note's equations (1) and (2), in float64."""
    y1 = 1 / (1 + np.exp(-(images.reshape(len(images), weights.shape.inputs) / 255) @ weights.w1.astype(np.float64)))
    e = np.exp(y1 @ weights.w2.astype(np.float64))
    return e / e.sum(axis=1, keepdims=True)


def test_simple():
    found = Model(WEIGHTS, (2, 3)).predict_proba(IMAGES[:5])
    assert (found.dtype, found.shape) == (np.float32, (5, 3))
    assert found == pytest.approx(note(WEIGHTS, IMAGES[:5]), abs=1e-6)
    assert Model(WEIGHTS, (2, 3)).predict(IMAGES[:5]).tolist() == found.argmax(axis=1).tolist()


@pytest.mark.parametrize("count", [0, 1, PREDICT_ROWS, PREDICT_ROWS + 1, len(IMAGES)])
def test_batch_sizes(count):
    found = Model(WEIGHTS, (2, 3)).predict_proba(IMAGES[:count])
    assert found.shape == (count, 3)
    assert found == pytest.approx(note(WEIGHTS, IMAGES[:count]), abs=1e-6)
    assert found.tobytes() == b"".join(
        Model(WEIGHTS, (2, 3)).predict_proba(image[None]).tobytes() for image in IMAGES[:count]
    )


def test_results_are_copies():
    model = Model(WEIGHTS, (2, 3))
    first = model.predict_proba(IMAGES[:5])
    before = first.tolist()
    model.predict_proba(IMAGES[5:10])
    assert first.tolist() == before


def test_float64(tmp_path):
    """A model in float64 is rounded to float32."""
    draw = np.random.default_rng(0)
    arrays = {"W1": draw.normal(size=(36, 4)), "W2": draw.normal(size=(4, 3))}
    np.savez(tmp_path / "double.npz", **arrays)
    np.savez(tmp_path / "single.npz", **{name: array.astype(np.float32) for name, array in arrays.items()})
    double, single = (load_model(tmp_path / f"{name}.npz") for name in ("double", "single"))
    assert double.weights.sha256() == single.weights.sha256()
    images = IMAGES.ravel()[:1_800].reshape(-1, 6, 6)
    assert double.predict_proba(images).tobytes() == single.predict_proba(images).tobytes()
    assert double.predict_proba(images) == pytest.approx(note(double.weights, images), abs=1e-6)


@pytest.mark.parametrize(
    "images", [IMAGES[0], IMAGES.reshape(-1, 3, 2), IMAGES.reshape(-1, 6), IMAGES.astype(np.float32), IMAGES[..., None]]
)
def test_other_images(images):
    with pytest.raises(ImageError) as caught:
        Model(WEIGHTS, (2, 3)).predict_proba(images)
    for fact in (str(images.dtype), str(images.shape), "2, 3"):
        assert fact in str(caught.value)


def test_explain():
    model = Model(WEIGHTS, (2, 3))
    found = model.explain(IMAGES[:5])
    assert found.classes.tolist() == model.predict(IMAGES[:5]).tolist()
    assert {name: (each.dtype, each.shape) for name, each in found._asdict().items()} == {
        "classes": (np.intp, (5,)), "hidden": (np.float32, (5, 4)), "contributions": (np.float32, (5, 4)),
        "saliency": (np.float32, (5, 2, 3)),
    }  # fmt: skip
    outputs = np.array([model.explain(IMAGES[:5], np.full(5, k)).contributions.sum(axis=1) for k in range(3)])
    e = np.exp(outputs)
    np.testing.assert_allclose((e / e.sum(axis=0)).T, model.predict_proba(IMAGES[:5]), rtol=1e-5)
    assert model.explain(IMAGES[:0]).saliency.shape == (0, 2, 3)


@pytest.mark.parametrize("classes", [[0, 1], [0, 1, 3], [-1, 0, 0], [0.0, 1.0, 2.0], 1, ["a", "b", "c"]])
def test_other_classes(classes):
    with pytest.raises(ConfigError, match="expected 3 integers"):
        Model(WEIGHTS, (2, 3)).explain(IMAGES[:3], np.array(classes))
