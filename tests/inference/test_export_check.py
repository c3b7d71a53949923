"""An export that disagrees with its model is never written."""

import hashlib

import numpy as np
import pytest

from ddmlp.errors import RunError
from ddmlp.inference.export import FORMATS, export
from ddmlp.inference.model import Model
from ddmlp.inference.probes import probe_images
from ddmlp.nn.weights import Shape, Weights


@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_wrong_file(to: str, monkeypatch: pytest.MonkeyPatch):
    """Every file is computed, and compared with the model, before it is returned."""

    def encode(model: Model, metadata: dict[str, str]) -> bytes:
        other = Weights(model.weights.shape, model.weights.flat.copy())
        other.w2[:, 3] += 0.01
        return encoded(Model(other, model.image_shape), metadata)

    encoded = FORMATS[to].encode
    monkeypatch.setitem(FORMATS, to, FORMATS[to]._replace(encode=encode))
    with pytest.raises(RunError, match=r"differ by 0\.\d+"):
        export(Model(Weights.draw(Shape(784, 20, 10), 1), (28, 28)), to)


def test_large_weights():
    """Rounding alone does not fail the comparison."""
    weights = Weights.draw(Shape(784, 400, 10), seed=1)
    weights.flat *= 1000
    for to, float32 in [("onnx", False), ("onnx", True), ("safetensors", False)]:
        assert export(Model(weights, (28, 28)), to, float32=float32)


def test_probes():
    """The same strokes and noise on every machine."""
    images = probe_images((28, 28))
    assert (images.shape, images.dtype) == ((34, 28, 28), np.uint8)
    assert (
        hashlib.sha256(images.tobytes()).hexdigest()
        == "136a145fde8600e022d517302926a5e6d99ca6f04a2ff8099f78f47077cf0d32"
    )
    ink = (images > 0).mean(axis=(1, 2))
    assert ink[:2].tolist() == [0, 1]
    assert all(ink[2:18] > 0.98)
    assert all((ink[18:] > 0.02) & (ink[18:] < 0.25))
    assert probe_images((1, 3)).shape == (34, 1, 3)
