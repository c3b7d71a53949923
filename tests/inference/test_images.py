"""Pictures of every kind become images like those that the network was trained on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmlp.errors import ImageError
from ddmlp.inference.images import read_image
from ddmlp.inference.saved_model import load_model
from tests.support.pictures import DIGITS, KINDS, damaged, digits_of, save


@pytest.fixture(scope="module")
def digits(sample: Path) -> np.ndarray:
    return digits_of(sample)


def complaint_of(path: Path) -> str | None:
    """Return the error for a picture; None if it can be read."""
    try:
        assert read_image(path, (28, 28)).pixels.shape == (28, 28)
    except ImageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(trained, digits, tmp_path, kind):
    digits = digits[::2]
    seen = np.stack([read_image(save(tmp_path, kind, digit), (28, 28)).pixels for digit in digits])
    assert (seen.dtype, seen.shape) == (np.uint8, digits.shape)
    model = load_model(trained)
    agree = model.predict(seen) == model.predict(digits)
    exact = kind in ("plain.png", "inverted.png", "plain.bmp", "sixteen.png", "transparent.png")
    assert np.count_nonzero(agree) >= (1 if exact else 0.9) * len(digits)


@pytest.mark.parametrize("kind", ["plain.png", "inverted.png", "plain.bmp", "sixteen.png"])
def test_fitting_pixels_stay(digits, tmp_path, kind):
    full = digits[digits.max(axis=(1, 2)) == 255]
    assert len(full) > DIGITS / 2
    for digit in full:
        assert (read_image(save(tmp_path, kind, digit), (28, 28)).pixels == digit).all()


def test_faint_ink(digits, tmp_path):
    Image.fromarray((200 - digits[0] // 4).astype(np.uint8)).save(tmp_path / "faint.png")
    found = read_image(tmp_path / "faint.png", (28, 28)).pixels.astype(int)
    assert found.max() == 255
    assert abs(found - digits[0]).max() <= 5


def test_centre_of_mass(digits, tmp_path):
    for digit in digits[::4]:
        found = read_image(save(tmp_path, "large.png", digit), (28, 28)).pixels.astype(float)
        centre = [(found.sum(axis=1 - axis) @ np.arange(28)) / found.sum() for axis in (0, 1)]
        assert centre == pytest.approx([14, 14], abs=0.6)
        drawn = np.argwhere(found > 0.3 * 255)
        assert 18 <= (np.ptp(drawn, axis=0) + 1).max() <= 20


@pytest.mark.parametrize("shape", [(5, 7), (64, 32), (1, 1)])
def test_other_shapes(digits, tmp_path, shape):
    found = read_image(save(tmp_path, "large.png", digits[0]), shape).pixels
    assert (found.shape, found.dtype) == (shape, np.uint8)
    assert found.any()


@pytest.mark.parametrize("kind", ["large.png", "large.jpg", "plain.gif", "plain.bmp", "palette.png"])
def test_any_damage(digits, tmp_path, kind):
    whole = save(tmp_path, kind, digits[0]).read_bytes()
    path = tmp_path / "damaged"
    refused = 0
    for content in damaged(whole):
        path.write_bytes(content)
        complaint = complaint_of(path)
        refused += complaint is not None
        assert complaint is None or complaint.startswith(str(path))
        assert "\n" not in (complaint or "")
    assert refused


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (2, 40), (40, 2), (3, 3), (1, 1)])
def test_thin_pictures(tmp_path, size):
    pixels = np.zeros(size, np.uint8)
    pixels[: size[0] // 2 + 1, : size[1] // 2 + 1] = 255
    Image.fromarray(pixels).save(tmp_path / "thin.png")
    found = complaint_of(tmp_path / "thin.png")
    assert found is None or "thin.png" in found
    assert found or min(size) > 1
