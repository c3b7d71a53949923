"""Pictures as training data: their pixels as they are, neither scaled nor moved."""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ddmlp.data.manifest import MAX_PIXELS
from ddmlp.data.signatures import BEGIN, kind_of, remedy_of
from ddmlp.errors import DatasetError, text_of

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WebP")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")  # Pillow's modes of 8 bits per colour, or 1
ORIENTATION = 0x0112  # the EXIF tag for the camera's orientation

# Exceptions that Pillow is known to raise for damaged files, in addition to UnidentifiedImageError.
DAMAGE = (
    OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, EOFError, RuntimeError,
    OverflowError, ZeroDivisionError, AssertionError, MemoryError, struct.error,
)  # fmt: skip


def picture_pixels(content: bytes | memoryview, subject: str, shape: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return the pixels (height, width) of a picture, uint8: 0 is black.

    Colours become brightness by the weights of ITU-R BT.601; so grey stays as it is, also if it is stored as a colour.

    Parameters
    ----------
    content : bytes
        The bytes of a file: PNG, JPEG, GIF, BMP or WebP.
    subject : str
        What it is, with which error messages begin.
    shape : tuple of int or None
        The (height, width) that it must have; None: any of at most MAX_PIXELS pixels.

    Raises
    ------
    DatasetError
        The file is damaged or no picture, or has another shape; or its pixels are not the whole picture, because it is
        transparent, turned by EXIF, one of several, or has more than 8 bits per colour.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> Image.fromarray(np.array([[0, 7], [9, 255]], np.uint8)).save(file, "PNG")
    >>> picture_pixels(file.getvalue(), "corner.png", (2, 2)).tolist()
    [[0, 7], [9, 255]]
    """
    try:
        with Image.open(io.BytesIO(content), formats=tuple(map(str.upper, FORMATS))) as image:
            found = image.height, image.width
            if shape is None and image.height * image.width > MAX_PIXELS:
                raise DatasetError(
                    f"{subject} has {found[0]} x {found[1]} pixels (height x width), expected at most {MAX_PIXELS:,}; "
                    "reduce the pictures"
                )
            if shape is not None and shape != found:
                raise DatasetError(
                    f"{subject} has {found[0]} x {found[1]} pixels (height x width), expected {shape[0]} x {shape[1]} "
                    "as the others; give all pictures one size"
                )
            if fault := _fault(image):
                raise DatasetError(f"{subject} {fault}")
            if image.format == "PNG":  # decoding alone does not compare its checksums
                with Image.open(io.BytesIO(content), formats=("PNG",)) as again:
                    again.verify()
            return np.array(image.convert("L"))
    except UnidentifiedImageError:
        kind = kind_of(bytes(content[:BEGIN]))
        is_what = f"is {kind}" if kind else "is not a picture" if len(content) else "is empty"
        remedy = remedy_of(kind) or "replace or remove it"
        raise DatasetError(f"{subject} {is_what}, expected a picture ({', '.join(FORMATS)}); {remedy}") from None
    except (*DAMAGE, Image.DecompressionBombError, Warning) as error:
        why = text_of(error)
        raise DatasetError(f"{subject} is damaged: {why}; replace or remove it") from None


def _fault(image: Image.Image) -> str | None:
    """Return what prevents that the pixels of a picture are all of it, and what to do; None if nothing does."""
    if image.mode not in MODES:
        return f"has pixels of mode {image.mode}, expected 8 bits per colour; convert it to grey"
    if (frames := getattr(image, "n_frames", 1)) > 1:
        return f"holds {frames} pictures, expected one; split them"
    may_be = image.mode.endswith("A") or "transparency" in image.info
    if may_be and np.asarray(image.convert("RGBA"))[:, :, 3].min() < 255:
        return "is transparent in parts, expected an opaque picture; put it on its background"
    if (turn := image.getexif().get(ORIENTATION, 1)) in range(2, 9):
        return f"is to be shown turned (EXIF orientation {turn}), expected 1; turn its pixels"
    return None
