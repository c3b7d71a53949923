"""Arrays as PNG pictures, read back pixel by pixel."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ddmlp.inference.model import Model
from ddmlp.nn.weights import Shape, Weights
from ddmlp.reporting.images import GAP, MAX_SHEET_PIXELS, MAX_UNITS, digit, first_layer


def opened(uri):
    kind, text = uri.split(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def model(hidden, shape=(4, 4)):
    return Model(Weights.draw(Shape(shape[0] * shape[1], hidden, 3), 0), shape)


def test_simple():
    image = np.arange(28 * 20, dtype=np.uint16).astype(np.uint8).reshape(28, 20)
    assert np.asarray(opened(digit(image))).tolist() == image.tolist()


def test_colours_of_weights():
    found = model(1)
    found.weights.w1[:] = 0
    found.weights.w1[:2, 0] = 1, -1
    (above, below, *zeros) = np.asarray(opened(first_layer(found).uri).convert("RGBA")).reshape(-1, 4).tolist()
    assert above[0] > above[2]
    assert below[0] < below[2]
    assert above[3] > 250
    assert below[3] > 250
    assert {zero[3] for zero in zeros} == {0}


def test_largest_units_come_first():
    found = model(4)
    found.weights.w1[:] = 1
    found.weights.w1[:, 2] = -1
    found.weights.w2[:] = 0.5
    found.weights.w2[2] = 2
    sheet = np.asarray(opened(first_layer(found).uri).convert("RGBA"))
    assert sheet.shape == (8 + GAP, 8 + GAP, 4)
    blue = (sheet[..., 2] > sheet[..., 0]) & (sheet[..., 3] > 0)
    assert blue[:4, :4].all()
    assert not blue[4 + GAP :].any()


@pytest.mark.parametrize(
    ("hidden", "shape", "shown"), [(7, (4, 4), 7), (400, (4, 6), MAX_UNITS), (9, (500, 250), 2), (3, (600, 600), 1)]
)
def test_sheet_is_bounded(hidden, shape, shown):
    found = model(hidden, shape)
    assert first_layer(found)[1:] == (shown, hidden)
    width, height = opened(first_layer(found).uri).size
    assert width * height <= max(2 * MAX_SHEET_PIXELS, 600 * 600)


def test_weights_of_zero():
    found = model(2)
    found.weights.flat[:] = 0
    assert not np.asarray(opened(first_layer(found).uri).convert("RGBA"))[..., 3].any()
