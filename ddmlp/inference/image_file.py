"""Reads image files within bounds: the brightness of a picture, upright."""

import importlib
import math
import warnings
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ddmlp.data.picture import DAMAGE, ORIENTATION
from ddmlp.data.signatures import BEGIN, kind_of, remedy_of
from ddmlp.errors import ImageError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WebP", "TIFF", "AVIF")
HEIC = "an HEIC picture"
MAX_FILE_PIXELS = 50_000_000
MAX_SIDE = 640  # pixels: more detail is useless, and a photograph in floating point is large

Grey = NDArray[np.float32]


class Decoded(NamedTuple):
    """A decoded picture.

    Parameters
    ----------
    grey : (height, width) float32
        The brightness, 0 to 255.
    done
        What was done to the picture, in words.
    """

    grey: Grey
    done: tuple[str, ...]


def decode(source: Path | IO[bytes], name: str, max_pixels: int = MAX_FILE_PIXELS) -> Decoded:
    """Read a picture; the first one, if the file holds several.

    Colours become brightness by the weights of ITU-R BT.601. A picture with a side of more than MAX_SIDE pixels is
    reduced by an integer factor.

    Parameters
    ----------
    source
        A file: PNG, JPEG, GIF, BMP, WebP, TIFF or AVIF; HEIC if the package pillow-heif is installed.
    name
        The name of the file in messages.
    max_pixels
        Largest number of pixels.

    Raises
    ------
    ImageError
        If the file cannot be read, is damaged, has another format, or has too many pixels.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("L", (3, 2), 255).save(file, "PNG")
    >>> decode(file, "white.png").grey.tolist()
    [[255.0, 255.0, 255.0], [255.0, 255.0, 255.0]]
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about files that it can read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=_formats(source, name)) as image:
                if image.width * image.height > max_pixels:
                    raise ImageError(
                        f"{name} has {image.width} x {image.height} pixels, expected at most {max_pixels:,}"
                    )
                return _decoded(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{name} is too large, expected at most {max_pixels:,} pixels") from None
    except UnidentifiedImageError:
        kind = kind_of(_begin(source, name))
        found = f"is {kind}" if kind else "is not an image"
        remedy = remedy_of(kind)
        files = " or IDX" if isinstance(source, Path) else ""
        raise ImageError(
            f"{name} {found}, expected {', '.join(FORMATS)}{files}" + (f"; {remedy}" if remedy else "")
        ) from None
    except DAMAGE as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name} cannot be read: {why}") from None


def _decoded(image: Image.Image) -> Decoded:
    frames, turned = getattr(image, "n_frames", 1), image.getexif().get(ORIENTATION, 1) in range(2, 9)
    # An MPO file holds one photograph and its auxiliary images.
    done = [f"first of {frames} pictures"] if frames > 1 and image.format != "MPO" else []
    if turned:
        done.append("oriented by EXIF")
        image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # 16 bits per pixel or more
        levels = np.asarray(image, np.float32)
        if image.mode == "F" or not levels.max() < 1 << 16:
            raise ValueError(f"its pixels have mode {image.mode}, expected 8 or 16 bits per colour")
        grey = Image.fromarray(levels / 257)
        return Decoded(np.asarray(grey.reduce(_factor(grey))), tuple(done))
    picture = image.convert("RGBA")
    colours = np.asarray(picture.reduce(_factor(picture)), np.float32)
    red, green, blue, alpha = np.moveaxis(colours, 2, 0)
    brightness: Grey = red * 0.299 + green * 0.587 + blue * 0.114
    alpha = alpha / 255
    if alpha.min() < 1:
        # Transparent parts become the background that contrasts with the opaque ones.
        paper = np.float32(255 if (brightness * alpha).sum() < 127.5 * alpha.sum() else 0)
        brightness = brightness * alpha + paper * (1 - alpha)
    return Decoded(brightness, tuple(done))


def _factor(image: Image.Image) -> int:
    """Return the smallest integer factor that reduces both sides to at most MAX_SIDE pixels."""
    return max(1, math.ceil(max(image.size) / MAX_SIDE))


def _formats(source: Path | IO[bytes], name: str) -> tuple[str, ...]:
    """Return Pillow's names of the formats to try. Raises ImageError for HEIC without pillow-heif."""
    formats = tuple(map(str.upper, FORMATS))
    if kind_of(_begin(source, name)) != HEIC:
        return formats
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ModuleNotFoundError:
        raise ImageError(
            f"{name} is {HEIC}, which requires the package pillow-heif: pip install pillow-heif, or save it as JPEG"
        ) from None
    return ("HEIF", *formats)


def _begin(source: Path | IO[bytes], name: str) -> bytes:
    """Return the first bytes of a source. Raises ImageError."""
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
