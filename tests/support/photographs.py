"""Rendered photographs of handwritten digits on paper, with uneven light, lines and dirt."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

PAGE = 480, 640  # height and width; twice that for small digits

Light = np.ndarray  # the fraction of light that each point reflects, (height, width)


def paper(random: np.random.Generator, scale: int = 1) -> Light:
    """Return an empty sheet: not quite white, slightly uneven."""
    blotches = Image.fromarray(random.normal(0, 1, (6, 8)).astype(np.float32))
    height, width = (side * scale for side in PAGE)
    coarse = np.asarray(blotches.resize((width, height), Image.Resampling.BICUBIC))
    return random.uniform(0.8, 0.95) * (1 + 0.01 * coarse)


def write(
    page: Light, digit: np.ndarray, random: np.random.Generator, size: float, at: tuple[float, float] | None = None
) -> Light:
    """Write a digit, uint8 (28, 28), on a page, `size` pixels high and slightly rotated.

    `at` is its centre, by default random but not at the border.
    """
    side = round(size)
    turned = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    drawn = np.asarray(turned.rotate(random.uniform(-8, 8), Image.Resampling.BICUBIC), np.float32) / 255
    drawn = np.clip(1.6 * drawn, 0, 1)  # a pen has sharper edges than the scans in MNIST
    height, width = page.shape
    room = side * 0.55
    middle = at or (random.uniform(room, height - room), random.uniform(room, width - room))
    top, left = (round(each - side / 2) for each in middle)
    part = page[max(top, 0) : top + side, max(left, 0) : left + side]
    begin = max(-top, 0), max(-left, 0)
    ink = drawn[begin[0] : begin[0] + part.shape[0], begin[1] : begin[1] + part.shape[1]]
    part *= 1 - ink * random.uniform(0.6, 0.85)
    return page


def lamp(page: Light, random: np.random.Generator) -> Light:
    """Let the light fall off from one side."""
    angle, dark = random.uniform(0, 2 * np.pi), random.uniform(0.2, 0.4)
    along = _along(page, angle)
    return page * (dark + (1 - dark) * (1 - along) ** random.uniform(1, 2))


def shadow(page: Light, random: np.random.Generator) -> Light:
    """Cast a shadow with an edge across the page."""
    along = _along(page, random.uniform(0, 2 * np.pi))
    edge, soft = random.uniform(0.3, 0.7), random.uniform(0.002, 0.03)
    lit = 1 / (1 + np.exp(np.clip((along - edge) / soft, -50, 50)))
    dark = random.uniform(0.35, 0.6)
    return page * (dark + (1 - dark) * lit)


def ruled(page: Light, random: np.random.Generator) -> Light:
    """Print ruled lines, slightly tilted, and often a margin."""
    height, width = page.shape
    down, across = np.mgrid[:height, :width]
    spacing, tilt = random.uniform(30, 60) * height / PAGE[0], random.uniform(-0.03, 0.03)
    place = (down + tilt * across + random.uniform(0, spacing)) % spacing
    page = page * np.where(place < random.uniform(1.2, 2.5), random.uniform(0.65, 0.85), 1)
    if random.random() < 0.5:
        at = random.uniform(0.08, 0.2) * width
        page = page * np.where(np.abs(across - tilt * down - at) < 1.2, 0.75, 1)
    return page


def specks(page: Light, random: np.random.Generator) -> Light:
    """Add dark specks of dirt."""
    height, width = page.shape
    down, across = np.mgrid[:height, :width]
    for _ in range(random.integers(10, 40)):
        y, x, radius = random.uniform(0, height), random.uniform(0, width), random.uniform(0.8, 3.5)
        page = page * np.where((down - y) ** 2 + (across - x) ** 2 < radius**2, random.uniform(0.3, 0.7), 1)
    return page


def photographed(page: Light, random: np.random.Generator, *, noise: float = 3.0) -> Image.Image:
    """Return the page as photographed: with noise, as JPEG."""
    exposed = 250 * page + random.normal(0, noise, page.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(np.rint(exposed), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return Image.open(file)


def _along(page: Light, angle: float) -> Light:
    """Return the relative position of each point in a direction, 0 to 1."""
    down, across = np.mgrid[: page.shape[0], : page.shape[1]]
    found = np.cos(angle) * across + np.sin(angle) * down
    return (found - found.min()) / np.ptp(found)


def photograph(kind: str, digit: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Return a photograph of one digit; kind: one of PHOTOGRAPHS."""
    scale = 2 if kind in ("small", "combined") else 1
    size = random.uniform(0.1, 0.16) * PAGE[0] * scale if scale == 2 else random.uniform(0.3, 0.75) * PAGE[0]
    page = write(paper(random, scale), digit, random, size)
    for disturb in PHOTOGRAPHS[kind]:
        page = disturb(page, random)
    return photographed(page, random)


def sheet(kind: str, digits: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Return a picture of no digit, or of two; digits: (n, 28, 28), n >= 2; kind: one of SHEETS."""
    page = paper(random)
    height, width = PAGE
    match kind:
        case "two":
            size = random.uniform(0.3, 0.5) * height
            middle, step = random.uniform(0.4, 0.6) * height, random.uniform(0.7, 1.0) * size
            for digit, side in zip(digits[:2], (-0.5, 0.5), strict=True):
                write(page, digit, random, size, (middle, width / 2 + side * step))
        case "texture":
            cells = random.uniform(0.2, 1, (24, 32)).astype(np.float32)
            page = np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC))
        case "noise":
            page = random.uniform(0, 1, PAGE)
        case "ruled":
            page = ruled(page, random)
        case "lamp":
            page = lamp(page, random)
        case "shadow":
            page = shadow(page, random)
        case "specks":
            page = specks(page, random)
    return photographed(page, random)


Disturbance = Callable[[Light, np.random.Generator], Light]
PHOTOGRAPHS: dict[str, tuple[Disturbance, ...]] = {
    "plain": (),
    "lamp": (lamp,),
    "shadow": (shadow,),
    "ruled": (ruled,),
    "specks": (specks,),
    "small": (),
    "combined": (ruled, specks, lamp, shadow),
}
SHEETS = ("empty", "ruled", "lamp", "shadow", "specks", "two", "texture", "noise")
