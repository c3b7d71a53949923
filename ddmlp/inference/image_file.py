"""Image files, read within bounds: the brightness of a picture, the right way up."""

import importlib
import math
import struct
import warnings
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ddmlp.data.signatures import BEGIN, kind_of, remedy_of
from ddmlp.errors import ImageError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WebP", "TIFF", "AVIF")
HEIC = "an HEIC picture"
MAX_FILE_PIXELS = 50_000_000
MAX_SIDE = 640  # more is of no use, and a photograph as floating-point numbers is large
ORIENTATION = 0x0112  # EXIF's tag: how a camera was held

Grey = NDArray[np.float32]

# What Pillow is known to raise for a damaged file, besides UnidentifiedImageError.
_DAMAGE = (
    OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, EOFError, RuntimeError,
    OverflowError, ZeroDivisionError, AssertionError, MemoryError, struct.error,
)  # fmt: skip


class Decoded(NamedTuple):
    """grey: the brightness, 0 to 255, (height, width); done: what was done to the picture, in words."""

    grey: Grey
    done: tuple[str, ...]


def decode(source: Path | IO[bytes], name: str, max_pixels: int = MAX_FILE_PIXELS) -> Decoded:
    """Read a picture, called `name` in errors; the first one, if there are several. Raises ImageError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's doubts about a file that it reads nevertheless
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=_formats(source, name)) as image:
                if image.width * image.height > max_pixels:
                    raise ImageError(
                        f"{name} has {image.width} x {image.height} pixels, expected {max_pixels:,} at most"
                    )
                return _decoded(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{name} is too large, expected {max_pixels:,} pixels at most") from None
    except UnidentifiedImageError:
        kind = kind_of(_begin(source, name))
        found = f"is {kind}" if kind else "is no image"
        remedy = remedy_of(kind)
        files = " or IDX" if isinstance(source, Path) else ""
        raise ImageError(
            f"{name} {found}, expected {', '.join(FORMATS)}{files}" + (f"; {remedy}" if remedy else "")
        ) from None
    except _DAMAGE as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name} cannot be read: {why}") from None


def _decoded(image: Image.Image) -> Decoded:
    frames, turned = getattr(image, "n_frames", 1), image.getexif().get(ORIENTATION, 1) in range(2, 9)
    # An MPO file has one photograph, and maps that go with it.
    done = [f"first of {frames} pictures"] if frames > 1 and image.format != "MPO" else []
    if turned:
        done.append("turned as the camera says")
        image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # 16 bits a pixel, or more
        levels = np.asarray(image, np.float32)
        if image.mode == "F" or not levels.max() < 1 << 16:
            raise ValueError(f"its pixels are {image.mode}, expected 8 or 16 bits for each colour")
        grey = Image.fromarray(levels / 257)
        return Decoded(np.asarray(grey.reduce(_factor(grey))), tuple(done))
    picture = image.convert("RGBA")
    colours = np.asarray(picture.reduce(_factor(picture)), np.float32)
    red, green, blue, alpha = np.moveaxis(colours, 2, 0)
    brightness: Grey = red * 0.299 + green * 0.587 + blue * 0.114
    alpha = alpha / 255
    if alpha.min() < 1:
        # Behind transparent parts goes what makes the opaque ones stand out.
        paper = np.float32(255 if (brightness * alpha).sum() < 127.5 * alpha.sum() else 0)
        brightness = brightness * alpha + paper * (1 - alpha)
    return Decoded(brightness, tuple(done))


def _factor(image: Image.Image) -> int:
    """By which the image is reduced so that no side has more than MAX_SIDE pixels."""
    return max(1, math.ceil(max(image.size) / MAX_SIDE))


def _formats(source: Path | IO[bytes], name: str) -> tuple[str, ...]:
    """The formats that are tried, as Pillow calls them; raises ImageError for HEIC that cannot be read."""
    formats = tuple(map(str.upper, FORMATS))
    if kind_of(_begin(source, name)) != HEIC:
        return formats
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ModuleNotFoundError:
        raise ImageError(
            f"{name} is {HEIC}, which needs the package pillow-heif: pip install pillow-heif, or save it as JPEG"
        ) from None
    return ("HEIF", *formats)


def _begin(source: Path | IO[bytes], name: str) -> bytes:
    """The first bytes of a source."""
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                return file.read(BEGIN)
        source.seek(0)
        begin = source.read(BEGIN)
        source.seek(0)
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}") from None
    return begin
