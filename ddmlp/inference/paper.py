"""Separates the ink in a picture from the paper, in even and uneven light."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ddmlp.inference.image_file import Grey
from ddmlp.inference.placement import border

EVEN = 0.12  # of the paper's brightness: the light is even if brightness along the border varies by less
STROKE = 0.15  # of the shorter side: the widest stroke
EXTREME = 1  # percent of the pixels: the darkest and the lightest that are compared
DARKEST = 16  # of 255: the darkest paper that is assumed, because noise on darker paper would count as ink

Levels = NDArray[np.uint8]
Level = TypeVar("Level", bound=np.generic)


class Inked(NamedTuple):
    """The ink in a picture.

    Parameters
    ----------
    ink : (height, width) float32
        Amount of ink at each pixel: the fraction of the light that it takes away, 0 to 1.
    dark : bool
        Whether it is dark on light.
    even : bool
        Whether the light is the same everywhere.
    """

    ink: Grey
    dark: bool
    even: bool


def ink_on_paper(grey: Grey) -> Inked:
    """Estimate how much ink is at each pixel of a picture.

    If the border has one brightness, that is the paper's. Otherwise the paper is estimated for each pixel by a closing
    of the picture (Serra, "Image Analysis and Mathematical Morphology", 1982; Gonzalez and Woods, "Digital Image
    Processing", section 9.6): anything dark and narrower than STROKE takes the brightness around it, but a shadow keeps
    its edge.

    Parameters
    ----------
    grey : (height, width) float32
        The brightness, 0 to 255.

    Examples
    --------
    >>> page = np.full((10, 10), 200, np.float32)
    >>> page[3:7, 5] = 0
    >>> found = ink_on_paper(page)
    >>> float(found.ink.sum()), found.dark, found.even
    (4.0, True, True)
    """
    levels = np.rint(blurred(grey)).astype(np.uint8)
    low, level, high = np.percentile(border(levels), (10, 50, 90))
    # The third moment: a few large differences count for more than many small ones.
    dark = float(((level - grey) ** 3).sum()) >= 0
    even = bool(high - low <= EVEN * max(level if dark else 255 - level, DARKEST))
    paper = np.full_like(levels, level)
    if not even:
        window = max(3, round(min(grey.shape) * STROKE))
        closed = running(np.minimum, running(np.maximum, levels, window), window)
        opened = running(np.maximum, running(np.minimum, levels, window), window)
        dark = _ink_is_dark(levels, closed, opened)
        paper = closed if dark else opened
    level_of_paper = paper.astype(np.float32)
    if dark:
        left, light = grey, level_of_paper
    elif even:
        left, light = 255 - grey, 255 - level_of_paper
    else:
        left, light = level_of_paper, grey
    return Inked(np.clip(1 - left / np.maximum(light, DARKEST), 0, 1), dark, even)


def _ink_is_dark(levels: Levels, closed: Levels, opened: Levels) -> bool:
    """Whether narrow marks are dark rather than light, in uneven light.

    The lightest pixels of a page belong to the paper, which is wide; those of a blackboard belong to chalk.
    """
    darkest, lightest = np.percentile(levels, (EXTREME, 100 - EXTREME))
    lower, upper = levels <= darkest, levels >= lightest
    seen, lit, dim = (np.log(each + np.float32(DARKEST)) for each in (levels, closed, opened))
    return float((lit - seen)[lower].mean()) >= float((seen - dim)[upper].mean())


def blurred(levels: Grey) -> Grey:
    """Remove camera noise from a picture (height, width), 0 to 255, if the picture is large enough."""
    radius = max(levels.shape) / 400
    if radius < 0.5:
        return levels
    picture = Image.fromarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32)


def running(best: np.ufunc, levels: NDArray[Level], window: int) -> NDArray[Level]:
    """Return the largest or smallest level in a square window around each pixel.

    best: np.maximum or np.minimum; window: the side of the square, in pixels.
    """
    for axis in (0, 1):
        before = (window - 1) // 2
        padding = [(0, 0), (0, 0)]
        padding[axis] = before, window - 1 - before
        found, span = np.pad(levels, padding, "edge"), 1
        while span < window:  # each round doubles the span
            step = min(span, window - span)
            head, tail = [slice(None)] * 2, [slice(None)] * 2
            head[axis], tail[axis] = slice(None, -step), slice(step, None)
            found, span = best(found[tuple(head)], found[tuple(tail)]), span + step
        levels = found
    return levels


def otsu(levels: NDArray[np.floating]) -> float:
    """Return the threshold that maximises the variance between two classes of levels, 0 to 1.

    Otsu, "A Threshold Selection Method from Gray-Level Histograms" (1979), with 64 bins.

    Examples
    --------
    >>> 0.1 < otsu(np.array([0.1, 0.1, 0.9])) < 0.9
    True
    """
    counts, edges = np.histogram(levels, 64, (0, 1))
    middles = (edges[1:] + edges[:-1]) / 2
    below, total = np.cumsum(counts)[:-1], counts.sum()
    sums = np.cumsum(counts * middles)
    apart = (sums[-1] * below - sums[:-1] * total) ** 2 / np.maximum(below * (total - below), 1)
    return float(edges[1:-1][apart >= apart.max() * (1 - 1e-9)].mean())
