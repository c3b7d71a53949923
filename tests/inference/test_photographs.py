"""Photographs of a digit in any light, and photographs without a single digit."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmlp.errors import ImageError
from ddmlp.inference.images import Picture, read_image, read_picture
from ddmlp.inference.saved_model import load_model
from tests.support.photographs import PHOTOGRAPHS, SHEETS, paper, photograph, photographed, sheet, write
from tests.support.pictures import digits_of

FEW = 5  # photographs of each kind; the slow test has more


@pytest.fixture(scope="module")
def digits(sample: Path) -> np.ndarray:
    return digits_of(sample)


def seen(photo: Image.Image) -> Picture:
    file = io.BytesIO()
    photo.save(file, "PNG")
    file.seek(0)
    return read_picture(file, "the photograph", (28, 28))


def right(trained: Path, digits: np.ndarray, kind: str, seed: int) -> int:
    """The number of photographs that get the same class as the digit itself."""
    random, model, found = np.random.default_rng([seed, *kind.encode()]), load_model(trained), 0
    for digit in digits:
        pixels, done = seen(photograph(kind, digit, random))
        assert "inverted" in done
        found += int((model.predict(np.stack([pixels, digit])) == model.predict(digit[None])).all())
    return found


@pytest.mark.parametrize("kind", ["shadow", "ruled"])
def test_uneven_light(trained, digits, kind):
    assert right(trained, digits[:: len(digits) // FEW], kind, seed=1) >= FEW - 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in PHOTOGRAPHS if kind != "combined"])
def test_more_photographs(trained, digits, kind):
    assert right(trained, digits[::2], kind, seed=2) >= 0.9 * len(digits[::2])


@pytest.mark.parametrize("kind", SHEETS)
def test_no_single_digit(digits, kind):
    with pytest.raises(ImageError, match=r"^the photograph: "):
        seen(sheet(kind, digits, np.random.default_rng([3, *kind.encode()])))


def test_parts_of_one_digit():
    """A 5 whose bar is detached, next to a speck, is one digit, and all of it is used."""
    five = np.zeros((28, 28), np.uint8)
    five[4:7, 10:20] = five[9:16, 8:11] = five[14:17, 8:18] = five[14:23, 16:19] = five[21:24, 7:19] = 255
    page = write(paper(np.random.default_rng(0)), five, np.random.default_rng(0), 250, (240, 320))
    page[100:106, 480:486] = 0.2
    pixels, done = seen(photographed(page, np.random.default_rng(0)))
    drawn = pixels > 128
    assert "cleaned" in done
    assert np.ptp(drawn.any(axis=1).nonzero()[0]) in (17, 18, 19, 20)
    gaps = np.flatnonzero(~drawn.any(axis=1)[4:24])
    assert len(gaps), "the bar should stay detached"


def test_chalk(trained, digits):
    """Light on dark, lit from one side."""
    down = np.linspace(0.2, 1, 480)[:, None]
    model, wrong = load_model(trained), 0
    for digit in digits[::8]:
        ink = np.zeros((480, 640))
        ink[100:380, 200:480] = np.asarray(Image.fromarray(digit).resize((280, 280), Image.Resampling.BICUBIC)) / 255
        pixels, done = seen(Image.fromarray((down * (50 + 190 * ink)).astype(np.uint8)))
        assert "inverted" not in done
        wrong += int(model.predict(pixels[None])[0] != model.predict(digit[None])[0])
    assert wrong <= 1


def test_the_example(trained):
    """The photograph in the docs."""
    pixels, done = read_image(Path(__file__).parents[2] / "examples" / "photo-of-a-7.jpg", (28, 28))
    assert load_model(trained).predict(pixels[None])[0] == 7
    assert done == ("inverted", "lighting evened", "cleaned", "cropped and scaled")
