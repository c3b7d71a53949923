"""Picture files: formats, orientation, files with several pictures, damage."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmlp.errors import ImageError
from ddmlp.inference.image_file import MAX_SIDE, decode
from tests.support.pictures import damaged

UPRIGHT = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
TURNS = {  # how a camera stores a picture, by the value of its EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def saved(image: Image.Image, kind: str, **how: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **how)
    file.seek(0)
    return file


def complaint_of(path: Path) -> str | None:
    """Return the error for a file; None if it can be read."""
    try:
        decode(path, "it")
    except ImageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("tag", TURNS)
def test_orientation(kind, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = Image.fromarray(UPRIGHT.repeat(8, 0).repeat(8, 1)).transpose(TURNS[tag])
    how = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    grey, done = decode(saved(stored.convert("RGB"), kind, exif=exif, **how), "it")
    assert np.abs(grey[4::8, 4::8] - UPRIGHT).max() < 3
    assert done == ("oriented by EXIF",)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "AVIF"])
def test_formats(kind):
    how = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "AVIF" else {}
    grey, done = decode(saved(Image.fromarray(UPRIGHT), kind, **how), "it")
    assert np.abs(grey - UPRIGHT).max() < (8 if kind == "AVIF" else 0.01)
    assert done == ()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_first_of_several(kind):
    first, others = Image.fromarray(UPRIGHT), [Image.fromarray(UPRIGHT[::-1]), Image.fromarray(UPRIGHT // 2)]
    how = {"lossless": True} if kind == "WEBP" else {}
    grey, done = decode(saved(first, kind, save_all=True, append_images=others, **how), "it")
    assert np.abs(grey - UPRIGHT).max() < 0.01
    assert done == ("first of 3 pictures",)


def test_sixteen_bits():
    grey, _ = decode(saved(Image.fromarray(UPRIGHT.astype(np.uint16) * 257), "TIFF"), "it")
    assert (grey == UPRIGHT).all()


@pytest.mark.parametrize("pixels", [UPRIGHT.astype(np.float32), UPRIGHT.astype(np.int32) << 16])
def test_other_numbers(pixels):
    with pytest.raises(ImageError, match=r"^it .*8 or 16 bits"):
        decode(saved(Image.fromarray(pixels), "TIFF"), "it")


def test_large():
    grey, _ = decode(saved(Image.new("L", (3_000, 1_000)), "PNG"), "it")
    assert max(grey.shape) <= MAX_SIDE
    with pytest.raises(ImageError, match="3000 x 1000"):
        decode(saved(Image.new("L", (3_000, 1_000)), "PNG"), "it", 1_000_000)


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "AVIF"])
def test_any_damage(kind, tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = saved(Image.fromarray(UPRIGHT.repeat(3, 0)), kind, exif=exif).getvalue()
    refused = 0
    for content in damaged(whole):
        (tmp_path / "it").write_bytes(content)
        complaint = complaint_of(tmp_path / "it")
        refused += complaint is not None
        assert complaint is None or (complaint.startswith("it ") and "\n" not in complaint)
    assert refused
