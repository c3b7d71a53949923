"""Pictures of digits, made into images as the model learnt them."""

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

Box = tuple[float, float, float, float]  # of a picture: left, top, right, bottom


class Fit(StrEnum):
    """Whether a picture is fitted to how the model's images look: if it looks otherwise, never, always."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class Picture(NamedTuple):
    """pixels: (height, width) uint8, as the model takes them; done: what was done to the picture, in words."""

    pixels: NDArray[np.uint8]
    done: tuple[str, ...]


def read_image(path: Path, shape: tuple[int, int], look: Look = MNIST, fit: Fit = Fit.AUTO) -> Picture:
    """The picture of one digit in an image file, as pixels of `shape` (height, width), with the look of a dataset.

    A picture of this size that has the look already is taken as it is, or inverted. From any other the digit is cut,
    scaled and placed as those of the dataset are: MNIST's with their centre of mass in the middle of the image, for
    example (LeCun et al. 1998). Raises ImageError, also if there is no single digit.
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
    """The same of any source, called `name` in errors, of so many pixels at most."""
    grey, done = decode(source, name, max_pixels)
    if grey.shape == shape and fit != Fit.ALWAYS:
        pixels = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
        if fit == Fit.NEVER or look.holds(pixels):
            return Picture(pixels, done)
        if look.holds(inverted := 255 - pixels):
            return Picture(inverted, (*done, "inverted"))
    elif fit == Fit.NEVER:
        raise ImageError(
            f"{name} has {grey.shape[1]} x {grey.shape[0]} pixels, but the model takes {shape[1]} x {shape[0]}: as it "
            "is, it does not fit"
        )
    try:
        fitted = _scaled(grey, shape) if look.background is None else _fitted(grey, shape, look, fit)
    except NoDigitError as error:
        raise ImageError(f"{name}: no single digit found: {error}") from None
    return Picture(fitted.pixels, (*done, *fitted.done))


def _scaled(grey: Grey, shape: tuple[int, int]) -> Picture:
    """The middle of a picture."""
    height, width = grey.shape
    scale = min(height / shape[0], width / shape[1])
    tall, wide = shape[0] * scale, shape[1] * scale
    top, left = (height - tall) / 2, (width - wide) / 2
    found = _resized(grey, (left, top, left + wide, top + tall), shape)
    done = ["cut"] * (max(top, left) >= 1) + ["scaled"] * (scale != 1)
    return Picture(np.rint(np.clip(found, 0, 255)).astype(np.uint8), tuple(done))


def _fitted(grey: Grey, shape: tuple[int, int], look: Look, fit: Fit) -> Picture:
    """The digit in a picture, with the look of a dataset that has a background."""
    if np.ptp(grey) < MIN_CONTRAST:
        raise NoDigitError("its pixels are all about the same")
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
    done += ["light evened"] * (not inked.even) + ["cleaned"] * (not alone)
    done += ["cut and scaled"] * (frame != whole) or ["scaled"] * (grey.shape != shape)
    return Picture(np.rint(np.clip(levels, 0, 255)).astype(np.uint8), tuple(done))


def _frame(ink: Grey, shape: tuple[int, int], look: Look) -> tuple[Box, bool]:
    """Which part of a picture becomes the image if the digit is placed as those of a dataset are; and whether it
    already is."""
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
    """A part of a picture as an image of `shape`; zero where it goes beyond the picture."""
    left, top, right, bottom = box
    before = max(0, int(np.ceil(-top))), max(0, int(np.ceil(-left)))
    after = (max(0, int(np.ceil(bottom - levels.shape[0]))), max(0, int(np.ceil(right - levels.shape[1]))))
    padded = np.pad(levels, list(zip(before, after, strict=True)))
    moved = left + before[1], top + before[0], right + before[1], bottom + before[0]
    resample = Image.Resampling.BOX if right - left > 2 * shape[1] else Image.Resampling.BICUBIC
    found: Grey = np.asarray(Image.fromarray(padded).resize(shape[::-1], resample, moved), np.float32)
    return found
