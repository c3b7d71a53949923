"""The paper of a picture: how bright it is at each place, and how much ink is on it."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ddmlp.inference.image_file import Grey
from ddmlp.inference.placement import border

EVEN = 0.12  # of the paper's brightness: by so much it may differ along the border, if the light is even
STROKE = 0.15  # of the shorter side: no stroke is wider
EXTREME = 1  # percent of the pixels
DARKEST = 16  # of 255: paper is not taken for darker, or its noise would be ink

Levels = NDArray[np.uint8]
Level = TypeVar("Level", bound=np.generic)


class Inked(NamedTuple):
    """ink: how much there is at each place, 0 to 1, (height, width), as a share of the light; dark: whether it is
    dark on light; even: whether the light is the same everywhere."""

    ink: Grey
    dark: bool
    even: bool


def ink_on_paper(grey: Grey) -> Inked:
    """How much ink is at each place of a picture (height, width), 0 to 255.

    If the border has one brightness, that is the paper's. Otherwise it is estimated by place, as the closing of the
    picture (Serra 1982, "Image Analysis and Mathematical Morphology"; Gonzalez and Woods, section 9.6): what is dark
    and narrower than STROKE is filled with the light around it, while a shadow keeps its edge.
    """
    levels = np.rint(blurred(grey)).astype(np.uint8)
    low, level, high = np.percentile(border(levels), (10, 50, 90))
    # The third moment: a few large differences outweigh many small ones.
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
    """Whether what is narrow is dark rather than light, in uneven light. The lightest of a page is paper, and wide; the
    lightest of a blackboard is chalk."""
    darkest, lightest = np.percentile(levels, (EXTREME, 100 - EXTREME))
    lower, upper = levels <= darkest, levels >= lightest
    seen, lit, dim = (np.log(each + np.float32(DARKEST)) for each in (levels, closed, opened))
    return float((lit - seen)[lower].mean()) >= float((seen - dim)[upper].mean())


def blurred(levels: Grey) -> Grey:
    """Levels, 0 to 255, without the noise of a camera, if the picture is large enough for that."""
    radius = max(levels.shape) / 400
    if radius < 0.5:
        return levels
    picture = Image.fromarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32)


def running(best: np.ufunc, levels: NDArray[Level], window: int) -> NDArray[Level]:
    """The best level in a square of so many pixels around each place; best: np.maximum or np.minimum."""
    for axis in (0, 1):
        before = (window - 1) // 2
        padding = [(0, 0), (0, 0)]
        padding[axis] = before, window - 1 - before
        found, span = np.pad(levels, padding, "edge"), 1
        while span < window:  # of twice the span in each round
            step = min(span, window - span)
            head, tail = [slice(None)] * 2, [slice(None)] * 2
            head[axis], tail[axis] = slice(None, -step), slice(step, None)
            found, span = best(found[tuple(head)], found[tuple(tail)]), span + step
        levels = found
    return levels


def otsu(levels: NDArray[np.floating]) -> float:
    """The threshold between two kinds of levels, 0 to 1, that makes the variance between them largest (Otsu 1979)."""
    counts, edges = np.histogram(levels, 64, (0, 1))
    middles = (edges[1:] + edges[:-1]) / 2
    below, total = np.cumsum(counts)[:-1], counts.sum()
    sums = np.cumsum(counts * middles)
    apart = (sums[-1] * below - sums[:-1] * total) ** 2 / np.maximum(below * (total - below), 1)
    return float(edges[1:-1][apart >= apart.max() * (1 - 1e-9)].mean())
