"""Converts pictures of digits to images like those that a model was trained on."""

from enum import StrEnum
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddmlp.errors import ImageError
from ddmlp.inference.digit import NoDigitError, find_digit
from ddmlp.inference.image_file import MAX_FILE_PIXELS, Grey, decode
from ddmlp.inference.look import MNIST, Look
from ddmlp.inference.paper import ink_on_paper
from ddmlp.inference.placement import placement

MIN_CONTRAST = 24  # of 255, between paper and ink

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the picture


class Fit(StrEnum):
    """When a picture is fitted to the look of the training images: if its look differs (auto), never, or always."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class Picture(NamedTuple):
    """A picture as a model takes it.

    Parameters
    ----------
    pixels : (height, width) uint8
        The image.
    done
        What was done to the picture, in words.
    """

    pixels: NDArray[np.uint8]
    done: tuple[str, ...]


def read_image(path: Path, shape: tuple[int, int], look: Look = MNIST, fit: Fit = Fit.AUTO) -> Picture:
    """Read the picture of one digit, and give it the look of a dataset.

    A picture that has this shape and look already is taken as it is, or inverted. In any other picture, the digit is
    cropped, scaled and placed as in the dataset. In MNIST, for example, the centre of mass is in the middle of the
    image (LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998).

    Parameters
    ----------
    path
        An image file; see `decode` for the formats.
    shape
        Height and width of the result, in pixels.
    look
        The look of the training images.
    fit
        When to fit the picture to that look.

    Raises
    ------
    ImageError
        If the file cannot be read, does not show exactly one digit, or has another shape and `fit` is never.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import ImageDraw
    >>> page = Image.new("L", (200, 100), "white")
    >>> ImageDraw.Draw(page).line([(60, 20), (95, 20), (70, 80)], fill="black", width=8)
    >>> with TemporaryDirectory() as folder:
    ...     page.save(Path(folder) / "seven.png")
    ...     found = read_image(Path(folder) / "seven.png", (28, 28))
    >>> found.pixels.shape, found.done
    ((28, 28), ('inverted', 'cropped and scaled'))
    """
    return read_picture(path, str(path), shape, look, fit)


def read_picture(
    source: Path | IO[bytes],
    name: str,
    shape: tuple[int, int],
    look: Look = MNIST,
    fit: Fit = Fit.AUTO,
    max_pixels: int = MAX_FILE_PIXELS,
) -> Picture:
    """Read a picture from any source, as `read_image` does from a path.

    name: the name of the source in messages; max_pixels: the largest number of pixels. Raises ImageError.
    """
    grey, done = decode(source, name, max_pixels)
    if grey.shape == shape and fit != Fit.ALWAYS:
        pixels = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
        if fit == Fit.NEVER or look.holds(pixels):
            return Picture(pixels, done)
        if look.holds(inverted := 255 - pixels):
            return Picture(inverted, (*done, "inverted"))
    elif fit == Fit.NEVER:
        raise ImageError(
            f"{name} has {grey.shape[1]} x {grey.shape[0]} pixels, but the model takes {shape[1]} x {shape[0]}: allow "
            "fitting, or scale the picture"
        )
    try:
        fitted = _scaled(grey, shape) if look.background is None else _fitted(grey, shape, look, fit)
    except NoDigitError as error:
        raise ImageError(f"{name}: no single digit found: {error}") from None
    return Picture(fitted.pixels, (*done, *fitted.done))


def _scaled(grey: Grey, shape: tuple[int, int]) -> Picture:
    """Crop the middle of a picture, and scale it."""
    height, width = grey.shape
    scale = min(height / shape[0], width / shape[1])
    tall, wide = shape[0] * scale, shape[1] * scale
    top, left = (height - tall) / 2, (width - wide) / 2
    found = _resized(grey, (left, top, left + wide, top + tall), shape)
    done = ["cropped"] * (max(top, left) >= 1) + ["scaled"] * (scale != 1)
    return Picture(np.rint(np.clip(found, 0, 255)).astype(np.uint8), tuple(done))


def _fitted(grey: Grey, shape: tuple[int, int], look: Look, fit: Fit) -> Picture:
    """Give the digit in a picture the look of a dataset that has a background. Raises NoDigitError."""
    if np.ptp(grey) < MIN_CONTRAST:
        raise NoDigitError("it has almost no contrast")
    background = look.background or 0
    inked = ink_on_paper(grey)
    digit, alone = find_digit(inked.ink)
    whole: Box = (0, 0, grey.shape[1], grey.shape[0])
    frame, looks = _frame(digit, shape, look)
    if looks and fit != Fit.ALWAYS and grey.shape[0] * shape[1] == grey.shape[1] * shape[0]:
        frame = whole
    found = np.clip(_resized(digit, frame, shape), 0, None)
    levels = background + found / max(float(found.max()), 1e-9) * (look.ink.median - background)
    done = ["inverted"] * (inked.dark != (look.ink.median < background))
    done += ["lighting evened"] * (not inked.even) + ["cleaned"] * (not alone)
    done += ["cropped and scaled"] * (frame != whole) or ["scaled"] * (grey.shape != shape)
    return Picture(np.rint(np.clip(levels, 0, 255)).astype(np.uint8), tuple(done))


def _frame(ink: Grey, shape: tuple[int, int], look: Look) -> tuple[Box, bool]:
    """Return the part of a picture that places its digit as in a dataset, and whether the digit is placed so already.

    The part may extend beyond the picture.
    """
    placed, sides = placement(ink[None], 0), np.array(ink.shape)
    first, last = placed.begin[0] * sides, placed.end[0] * sides
    centre = placed.centres(by_mass=look.by_mass)[0]
    looks = look.places(float(placed.extent[0]), float(centre[0]), float(centre[1]), 1.5 / min(shape))
    frame = np.array(shape) * ((last - first) / shape).max() / look.extent.median
    begin = centre * sides - np.array([look.down.median, look.across.median]) * frame
    begin = np.clip(begin, last - frame, first)
    end = begin + frame
    return (float(begin[1]), float(begin[0]), float(end[1]), float(end[0])), looks


def _resized(levels: Grey, box: Box, shape: tuple[int, int]) -> Grey:
    """Scale a part of a picture to `shape`. Outside the picture, the result is 0."""
    left, top, right, bottom = box
    before = max(0, int(np.ceil(-top))), max(0, int(np.ceil(-left)))
    after = (max(0, int(np.ceil(bottom - levels.shape[0]))), max(0, int(np.ceil(right - levels.shape[1]))))
    padded = np.pad(levels, list(zip(before, after, strict=True)))
    moved = left + before[1], top + before[0], right + before[1], bottom + before[0]
    resample = Image.Resampling.BOX if right - left > 2 * shape[1] else Image.Resampling.BICUBIC
    found: Grey = np.asarray(Image.fromarray(padded).resize(shape[::-1], resample, moved), np.float32)
    return found
