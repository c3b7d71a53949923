"""Pictures of digits, made into what the network was trained on: light strokes on black, in the middle."""

import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ddmlp.errors import ImageError

IMAGE_FORMATS = ("PNG", "JPEG", "GIF", "BMP")
MAX_FILE_PIXELS = 50_000_000
FAINT = 0.15  # of the strongest stroke: what is fainter is paper, not ink
MIN_CONTRAST = 24  # of 255, between paper and ink

Grey = NDArray[np.floating]


def read_image(path: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture of one digit in an image file, as pixels of `shape` (height, width), uint8, ink 255 on paper 0.

    Dark ink on light paper is inverted. A picture that is not drawn as MNIST's digits are is fitted as they were: the
    digit is scaled to a box of 20/28 of the side, its proportions kept, and put with its centre of mass in the middle
    (LeCun et al. 1998, and the page of the data set). Raises ImageError.
    """
    return read_picture(path, str(path), shape)


def read_picture(
    source: Path | IO[bytes], name: str, shape: tuple[int, int], max_pixels: int = MAX_FILE_PIXELS
) -> NDArray[np.uint8]:
    """The same of any source, called `name` in errors, of so many pixels at most."""
    ink = _ink(_grey(source, name, max_pixels), name)
    rows, columns = (np.flatnonzero((ink > FAINT).any(axis=axis)) for axis in (1, 0))
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    box = round(min(shape) * 20 / 28)
    if ink.shape == shape and max(height, width) <= box:
        return _pixels(ink)
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = box / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resample = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC
    return _centred(np.asarray(Image.fromarray(digit).resize(size, resample), np.float32), shape)


def _grey(source: Path | IO[bytes], name: str, max_pixels: int) -> Grey:
    """The picture's brightness, 0 to 255: (height, width)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=IMAGE_FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise ImageError(
                        f"{name} has {image.width} x {image.height} pixels, expected {max_pixels:,} at most"
                    )
                if image.mode.startswith("I"):  # 16 bits a pixel
                    return np.asarray(image, np.float32) / 257
                picture = image.convert("RGBA")
                # More than that is of no use, and a photograph as floating-point numbers is large.
                colours = np.asarray(picture.reduce(max(1, max(picture.size) // 1024)), np.float32)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{name} is too large, expected {max_pixels:,} pixels at most") from None
    except UnidentifiedImageError:
        files = " or IDX" if isinstance(source, Path) else ""
        raise ImageError(f"{name} is no image, expected {', '.join(IMAGE_FORMATS)}{files}") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    red, green, blue, alpha = np.moveaxis(colours, 2, 0)
    brightness: Grey = red * 0.299 + green * 0.587 + blue * 0.114
    alpha = alpha / 255
    if alpha.min() == 1:
        return brightness
    # Behind transparent parts goes what makes the opaque ones stand out.
    paper = 255.0 if (brightness * alpha).sum() < 127.5 * alpha.sum() else 0.0
    mixed: Grey = brightness * alpha + np.float32(paper) * (1 - alpha)
    return mixed


def _ink(grey: Grey, name: str) -> Grey:
    """How much ink each pixel has, 0 to 1, the paper being what most of the border shows."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    ink = paper - grey if paper > 127.5 else grey - paper
    strongest = float(ink.max())
    if strongest < MIN_CONTRAST:
        raise ImageError(f"{name} shows no digit: its pixels are all about the same")
    # A stroke of full strength stays as it is; a faint one is strengthened.
    clipped: Grey = np.clip(ink / strongest, 0, 1).astype(np.float32)
    return clipped


def _centred(digit: Grey, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The digit on a canvas of `shape`, its centre of mass in the middle as far as it fits."""
    places = []
    for axis in (0, 1):
        weight = digit.sum(axis=1 - axis)
        centre = float((weight * np.arange(len(weight))).sum() / weight.sum())
        place = round((shape[axis] - 1) / 2 - centre)
        places.append(min(max(place, 0), shape[axis] - len(weight)))
    canvas = np.zeros(shape, np.float32)
    top, left = places
    canvas[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return _pixels(canvas)


def _pixels(ink: Grey) -> NDArray[np.uint8]:
    return np.rint(np.clip(ink, 0, 1) * 255).astype(np.uint8)
