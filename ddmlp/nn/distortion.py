"""Distorts images, each by an affine map and random displacements: a pure function of the image and a random key.

    (x', y') = A (x, y) + d + u(x, y)        affine, sample
    u = alpha (G * noise)                    fill, smooth

A pixel (x, y) of the result is read at (x', y') of the image, between its four neighbours; outside of the image is 0.
Coordinates start at the centre of the image. A holds a rotation, two scales and a shear, and d is whole pixels. The
noise is uniform, and G a filter that is nearly Gaussian. (P. Y. Simard, D. Steinkraus and J. C. Platt, "Best practices
for convolutional neural networks applied to visual document analysis", ICDAR 2003.)

**One result on every processor.** Coordinates are integers, multiples of 2^-16 of a pixel. Floats only occur in the
draws, A and the sums of the filter, which are formed by + - * / in the order that is written here.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from ddmlp.nn.augmentation import Augmentation
from ddmlp.nn.compiled import inlined, kernel, record
from ddmlp.nn.lanes import item, load, store, zeros
from ddmlp.nn.weights import LANES

Bytes = NDArray[np.uint8]
# The constants of SplitMix64 (Steele, Lea and Flood 2014); `numerics.row_bits` has the same.
STEP, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
DRAWS = 6  # words of a key before those of the noise: angle, two scales, shear, two moves
TERMS = 25  # of the series of sine and cosine: pi^25 / 25! is below 2e-13
ONE = 65_536  # a pixel


class Limits(NamedTuple):
    """An `Augmentation` of images of one shape, for the kernel.

    The filters are sums of `box_0`, `box_1` and `box_2` lines. A line of the field has two numbers for each pixel of a
    column or a row, and padding: its length is `across` if it is filtered in x, else `down`.
    """

    height: int
    width: int
    angle: float  # in radians
    scale: float
    shear: float
    pixels: int
    box_0: int
    box_1: int
    box_2: int
    across: int
    down: int
    factor: np.float32  # of the filtered noise; 0: there are no displacements


LIMITS = record(Limits, *["intp"] * 2, *["float64"] * 3, *["intp"] * 6, "float32")
IMAGES, FLOATS = types.Array(types.uint8, 2, "C", readonly=True), "float32[::1]"


class Distorter:
    """Distorts images of one shape, as an augmentation says, in its own buffers: not for two threads at the same time.

    Examples
    --------
    >>> distorter = Distorter(Augmentation.of("shift:pixels=1"), (3, 3))
    >>> image = np.array([[0, 0, 0, 0, 255, 0, 0, 0, 0]], np.uint8)
    >>> distorter.apply(image, np.array([7], np.uint64)).reshape(3, 3)
    array([[  0,   0,   0],
           [255,   0,   0],
           [  0,   0,   0]], dtype=uint8)
    """

    def __init__(self, augmentation: Augmentation, image_shape: tuple[int, int]) -> None:
        height, width = image_shape
        a, boxes = augmentation, augmentation.boxes
        across, down = (-(-2 * pixels // LANES) * LANES for pixels in (height, width))
        # The noise is in units of 2^-15, the filters are sums and not means, and displacements are in units of 2^-16.
        factor = np.float32(2 * a.alpha / (boxes[0] * boxes[1] * boxes[2]) ** 2)
        angle = a.rotation * (math.pi / 180)
        self._limits = Limits(height, width, angle, a.scale, a.shear, a.pixels, *boxes, across, down, factor)
        room = max(width * across, height * down)
        self._one, self._other = np.zeros(room, np.float32), np.zeros(room, np.float32)
        self._padded = np.zeros((height + 2) * (width + 2), np.uint8)

    def apply(self, pixels: Bytes, keys: NDArray[np.uint64], out: Bytes | None = None) -> Bytes:
        """Distort rows of pixels (n, height * width) by a key each, keys (n,), into `out` or a new array.

        Raises ValueError if the shapes do not fit each other.
        """
        out = np.empty_like(pixels) if out is None else out
        expected = len(keys), self._limits.height * self._limits.width
        if (pixels.shape, out.shape) != (expected, expected):
            raise ValueError(f"pixels and out have the shapes {pixels.shape} and {out.shape}, expected {expected}")
        distort(self._limits, np.ascontiguousarray(pixels), keys, self._one, self._other, self._padded, out)
        return out


@inlined
def word(key: Any, index: int) -> Any:
    """The random word `index` of a key: a uint64."""
    mixed = key + STEP * np.uint64(index + 1)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND
    return mixed ^ (mixed >> np.uint64(31))


@inlined
def draw(key: Any, index: int, limit: float) -> float:
    """A uniform float64 from -limit to limit."""
    return (np.float64(np.int64(word(key, index) >> np.uint64(11))) * 2.0**-52 - 1.0) * limit


@inlined
def draw_whole(key: Any, index: int, limit: int) -> Any:
    """A uniform whole number from -limit to limit."""
    return np.int64(word(key, index) >> np.uint64(33)) % (2 * limit + 1) - limit


@inlined
def affine(limits: Any, key: Any) -> Any:
    """Draw A: the four numbers of the matrix, row by row, in units of 2^-16."""
    angle = draw(key, 0, limits.angle)
    wide, high = 1.0 + draw(key, 1, limits.scale), 1.0 + draw(key, 2, limits.scale)
    shear = draw(key, 3, limits.shear)
    sine, cosine, term = 0.0, 0.0, 1.0  # by their Taylor series
    for power in range(1, TERMS, 2):
        cosine += term
        term = term * angle / power
        sine += term
        term = -(term * angle / (power + 1))
    a, b = cosine * wide, cosine * shear - sine * high
    c, d = sine * wide, sine * shear + cosine * high
    return np.int64(a * ONE), np.int64(b * ONE), np.int64(c * ONE), np.int64(d * ONE)


@inlined
def fill(key: Any, count: int, out: Any) -> None:
    """Fill out[:count] with noise, whole numbers from -2^15 to 2^15 - 1, four from each word of the key."""
    quarter = count // 4
    for index in range(quarter):
        bits = word(key, DRAWS + index)
        for part in range(4):
            low = np.int32((bits >> np.uint64(16 * part)) & np.uint64(0xFFFF)) - np.int32(0x8000)
            out[index + part * quarter] = np.float32(low)


@inlined
def box(source: Any, target: Any, lines: int, length: int, width: int) -> None:
    """Replace each line of numbers by the sum of `width` lines around it: before the first comes the last.

    The sum of the first is formed in their order; each other one is the sum before, plus what comes minus what goes.
    """
    start = (lines - width // 2 % lines) % lines
    for column in range(0, length, LANES):
        sums, come, go = zeros(), start, start
        for _ in range(width):
            sums = sums + load(source, come * length + column)
            come = come + 1 if come + 1 < lines else 0
        store(target, column, sums)
        for line in range(1, lines):
            sums = sums + (load(source, come * length + column) - load(source, go * length + column))
            store(target, line * length + column, sums)
            come = come + 1 if come + 1 < lines else 0
            go = go + 1 if go + 1 < lines else 0


@inlined
def turn(limits: Any, source: Any, target: Any) -> None:
    """Turn a field whose lines are columns, (width, 2, height), into one whose lines are rows, (height, 2, width)."""
    height, width = limits.height, limits.width
    for part in range(2):
        for y in range(height):
            begin = y * limits.down + part * width
            line = target[begin : begin + width]
            for x in range(width):
                line[x] = item(source, x * limits.across + part * height + y)


@inlined
def smooth(limits: Any, key: Any, one: Any, other: Any) -> None:
    """Draw a field of displacements into `other`, (height, 2, width): in x and in y, not yet times `factor`."""
    fill(key, limits.width * limits.across, one)
    box(one, other, limits.width, limits.across, limits.box_0)
    box(other, one, limits.width, limits.across, limits.box_1)
    box(one, other, limits.width, limits.across, limits.box_2)
    turn(limits, other, one)
    box(one, other, limits.height, limits.down, limits.box_0)
    box(other, one, limits.height, limits.down, limits.box_1)
    box(one, other, limits.height, limits.down, limits.box_2)


@inlined
def pad(limits: Any, image: Any, padded: Any) -> None:
    """Copy an image into one that has a border of one pixel."""
    height, width = limits.height, limits.width
    for y in range(height):
        line, place = image[y * width : (y + 1) * width], (y + 1) * (width + 2) + 1
        inner = padded[place : place + width]
        for x in range(width):
            inner[x] = line[x]


@inlined
def between(padded: Any, stride: int, x: Any, y: Any) -> Any:
    """The pixel at (x, y), in units of 2^-16 from the corner of the border: bilinear, rounded to the nearest number."""
    right, below = (x >> 8) & 255, (y >> 8) & 255
    place = (y >> 16) * stride + (x >> 16)
    top = np.int64(item(padded, place)) * (256 - right) + np.int64(item(padded, place + 1)) * right
    place += stride
    bottom = np.int64(item(padded, place)) * (256 - right) + np.int64(item(padded, place + 1)) * right
    return np.uint8((top * (256 - below) + bottom * below + 0x8000) >> 16)


@inlined
def sample(limits: Any, key: Any, padded: Any, field: Any, out: Any) -> None:
    """Compute the pixels of a distorted image from the padded one and the field."""
    height, width = limits.height, limits.width
    a, b, c, d = affine(limits, key)
    move_x, move_y = draw_whole(key, 4, limits.pixels) * ONE, draw_whole(key, 5, limits.pixels) * ONE
    for y in range(height):
        away = 2 * y - (height - 1)  # from the centre, in halves of a pixel; so the sums are halved
        begin_x = ((width - 1) * (ONE - a) + away * b) // 2 + move_x
        begin_y = ((height - 1) * ONE - (width - 1) * c + away * d) // 2 + move_y
        line, place = out[y * width : (y + 1) * width], y * limits.down
        for x in range(width):
            at_x, at_y = begin_x + a * x, begin_y + c * x
            if limits.factor:
                at_x += np.int64(item(field, place + x) * limits.factor)
                at_y += np.int64(item(field, place + width + x) * limits.factor)
            at_x = min(max(at_x + ONE, 0), (width + 1) * ONE - 1)  # in the border, which is 0
            at_y = min(max(at_y + ONE, 0), (height + 1) * ONE - 1)
            line[x] = between(padded, width + 2, at_x, at_y)


@kernel(LIMITS, IMAGES, "uint64[::1]", FLOATS, FLOATS, "uint8[::1]", "uint8[:, ::1]")
def distort(limits: Any, images: Any, keys: Any, one: Any, other: Any, padded: Any, out: Any) -> None:
    """Distort images (n, height * width) into `out`, by a key each. one, other: room for a field; padded: for an image
    with a border, which is 0."""
    for row in range(len(keys)):
        if limits.factor:
            smooth(limits, keys[row], one, other)
        pad(limits, images[row], padded)
        sample(limits, keys[row], padded, other, out[row])
