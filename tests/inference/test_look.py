"""The look of a dataset: its own images are taken as they are, and other pictures are fitted to it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import asdict, replace
from PIL import Image

from ddmlp.data.dataset import Dataset
from ddmlp.errors import ImageError
from ddmlp.inference.images import Fit, read_image
from ddmlp.inference.look import MNIST, Look, Range
from tests.support.pictures import digits_of


def filling(digit: np.ndarray) -> np.ndarray:
    """A digit that fills the frame."""
    part = Image.fromarray(digit).crop(Image.fromarray(digit).getbbox())
    scale = 28 / max(part.size)
    part = part.resize((max(1, round(part.width * scale)), max(1, round(part.height * scale))))
    image = Image.new("L", (28, 28))
    image.paste(part, ((28 - part.width) // 2, (28 - part.height) // 2))
    return np.asarray(image)


def texture(digit: np.ndarray) -> np.ndarray:
    """A digit on noise: no margin, and no level that most pixels have."""
    noise = np.random.default_rng(int(digit.sum())).integers(40, 220, (28, 28))
    return np.clip(noise + digit // 8, 0, 255).astype(np.uint8)


def corner(digit: np.ndarray) -> np.ndarray:
    """A small digit at the top left, dark on light grey."""
    image = np.full((28, 28), 200, np.uint8)
    image[2:16, 2:16] -= np.asarray(Image.fromarray(digit).resize((14, 14))) // 2
    return image


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mnist": lambda digit: digit,
    "inverted": lambda digit: 255 - digit,
    "filling": filling,
    "texture": texture,
    "corner": corner,
    "binary": lambda digit: (digit > 100).astype(np.uint8),
}


@pytest.fixture(scope="module")
def digits(sample: Path) -> np.ndarray:
    return digits_of(sample)


def test_mnist(data):
    """The look that is assumed for models that do not describe their images."""
    found = asdict(Look.of(Dataset(data / "train")))
    for name, expected in asdict(MNIST).items():
        if isinstance(expected, Range):
            assert found[name].median == pytest.approx(expected.median, abs=0.01), name
        else:
            assert found[name] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_rows_as_pictures(digits, tmp_path, kind):
    """Images of a dataset, saved as files, are read unchanged, including those that were not measured."""
    images = np.stack([KINDS[kind](digit) for digit in digits])
    look = Look.measure(images[::2])
    for image in images:
        Image.fromarray(image).save(tmp_path / "row.png")
        pixels, done = read_image(tmp_path / "row.png", (28, 28), look)
        assert (pixels == image).all()
        assert done == ()


@pytest.mark.parametrize("kind", ["mnist", "filling", "corner", "binary"])
def test_fitted_to_the_data(digits, tmp_path, kind):
    """A large picture gets the look of the dataset."""
    look = Look.measure(np.stack([KINDS[kind](digit) for digit in digits]))
    for digit in digits[::10]:
        large = Image.new("L", (400, 300), 230)
        large.paste(Image.fromarray(230 - digit // 2).resize((200, 200), Image.Resampling.BICUBIC), (150, 30))
        large.save(tmp_path / "large.png")
        pixels, done = read_image(tmp_path / "large.png", (28, 28), look)
        assert look.holds(pixels)
        assert ("inverted" in done) == (kind != "corner")
        assert "cropped and scaled" in done


def test_off_centre(digits):
    look = Look.measure(np.stack([corner(digit) for digit in digits]))
    assert (look.background, look.ink.least) == (200, 73)
    assert look.extent.median == pytest.approx(10 / 28, abs=0.04)
    assert (look.down.median, look.across.median) == pytest.approx((9 / 28, 9 / 28), abs=0.04)
    assert not look.holds(digits[0])


def test_no_background(digits):
    assert Look.measure(np.stack([texture(digit) for digit in digits])).background is None
    assert Look.measure(np.zeros((3, 28, 28), np.uint8)).background is None


def test_textures_are_scaled(digits, tmp_path):
    look = Look.measure(np.stack([texture(digit) for digit in digits]))
    image = texture(digits[0])
    Image.fromarray(np.pad(image.repeat(4, 0).repeat(4, 1), ((0, 0), (10, 10)))).save(tmp_path / "wide.png")
    pixels, done = read_image(tmp_path / "wide.png", (28, 28), look)
    assert (pixels == image).all()
    assert done == ("cropped", "scaled")


def test_as_it_is(digits, tmp_path):
    Image.fromarray(255 - digits[0]).save(tmp_path / "row.png")
    assert (read_image(tmp_path / "row.png", (28, 28), MNIST, Fit.NEVER).pixels == 255 - digits[0]).all()
    with pytest.raises(ImageError, match=r"28 x 28 pixels.* 14 x 56"):
        read_image(tmp_path / "row.png", (56, 14), MNIST, Fit.NEVER)


def test_fitted_always(digits, tmp_path):
    moved = np.roll(digits[0], 1, axis=1)
    Image.fromarray(moved).save(tmp_path / "row.png")
    assert read_image(tmp_path / "row.png", (28, 28), MNIST).done == ()
    assert read_image(tmp_path / "row.png", (28, 28), MNIST, Fit.ALWAYS).done == ("cropped and scaled",)


@pytest.mark.parametrize(("least", "median", "greatest"), [(2, 1, 3), (0, 1, 256), (-1, 1, 2), (0, float("nan"), 1)])
def test_no_range(least, median, greatest):
    with pytest.raises(ValueError, match="0 to 255"):
        Range(least, median, greatest)
    with pytest.raises(ValueError, match="extent"):
        replace(MNIST, extent=Range(0, 0, 0))
